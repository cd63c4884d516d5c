"""Parts that are drawn from a seed: random sound trainings, and every cause planted into some of them."""
