"""Files that later runs believe: written durably, checksummed, owned, replaced whole."""
