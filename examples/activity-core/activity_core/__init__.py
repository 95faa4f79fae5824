"""Takes activities in and adds them up in the background."""
