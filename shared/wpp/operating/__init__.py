"""What keeps all numbers in order, for operators and timers: findings, what is done about them, numbers that leave."""
