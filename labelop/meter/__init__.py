"""The silent-bias meter: which tasks measure reviewers, what they show, and what came of them."""
