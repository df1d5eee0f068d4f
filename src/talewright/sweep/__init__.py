"""Many runs over recipe values and seeds: what is varied, how it is run, what came of it."""
