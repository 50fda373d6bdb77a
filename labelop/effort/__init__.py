"""What people spend on correcting drafts, and how good the drafts were. Knows no review tool."""
