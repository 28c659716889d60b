"""A site in processes of their own, which moves while its clients go on."""
