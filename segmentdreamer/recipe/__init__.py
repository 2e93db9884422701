"""What an asset is made of: settings as data, its identity, a checked job."""
