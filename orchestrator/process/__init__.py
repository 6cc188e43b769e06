"""The one door to other programs, and the one home of `sh`."""
