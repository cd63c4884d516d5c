"""What a cohort is made of: its lanes, and the engines that train their networks together."""
