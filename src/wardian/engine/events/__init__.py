"""What happened: kept on disk, told to subscribers, made good after a kill."""
