"""Take datasets in: account for every file, decode hostile ones safely, read labels that came with them."""
