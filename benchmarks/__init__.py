"""Every figure that Penstock promises, each measured beside a raw loop in the same run."""
