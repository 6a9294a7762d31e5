"""Where targets live: a URI becomes a target and an agent beside it, reached over one duplex byte stream."""
