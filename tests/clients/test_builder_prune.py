"""`builder prune`, where nothing was built yet: docker's command and ours say the same."""


def test_nothing_is_there_to_prune(docker):
    assert docker.out("builder", "prune", "-f", "--keep-storage", "1g") == "Total reclaimed space: 0B"
    asked = docker("builder", "prune", "-a", stdin=b"n\n")
    assert asked.stdout.startswith(b"WARNING! This will remove all build cache")
    assert b"reclaimed" not in asked.stdout
