"""Sites that come from other packages' engines. tox runs these where it installs the packages."""
