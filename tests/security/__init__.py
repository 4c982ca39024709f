"""What an attacker would try, against the functions as they run."""
