"""What a peer keeps on disk, over one seam."""
