"""What an engine and its containers use and are: stats, top, df, info, metrics."""
