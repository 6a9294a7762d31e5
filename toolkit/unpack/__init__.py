"""Images that are not running become directory trees: read strictly, proved, unpacked, never started."""
