"""What AI providers that are called over HTTP share, whatever dialect they speak."""
