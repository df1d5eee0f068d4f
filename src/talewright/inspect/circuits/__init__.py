"""Which parts of a model do it: circuits of twin questions, and what each part adds to the score of a word."""
