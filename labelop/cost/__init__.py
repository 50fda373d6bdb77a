"""What a use costs: the price book, and the formulas that routing plans with and the SQL views book with."""
