"""info, version, system df and system prune, by docker's command line, ours and docker-py."""

import json

import docker as docker_py
import pytest

from clients_shared import IMAGE


@pytest.fixture
def client(engine_with_image, engine_socket):
    made = docker_py.DockerClient(base_url=f"unix://{engine_socket}")
    yield made
    made.close()


def test_info(docker):
    docker("run", "-d", "--name", "one", IMAGE, "sleep", "1000")
    told = docker("info")
    text = told.stdout.decode()
    for line in ("  Running: 1", " Storage Driver: overlay2", " Cgroup Driver: cgroupfs", " Swarm: inactive"):
        assert f"\n{line}\n" in text
    assert b"WARNING: nothing starts this engine after a reboot" in told.stderr
    assert docker.out("info", "--format", "{{.MemoryLimit}} {{.PidsLimit}} {{.OSType}}") == "true true linux"
    assert "Engine:" in docker.out("version")


def test_info_has_what_docker_says_of_a_host(client):
    """The names of Docker 28's answer, but for what only its parts have."""
    told = client.info()
    names = (
        "ID Containers ContainersRunning ContainersPaused ContainersStopped Images Driver DriverStatus Plugins "
        "MemoryLimit SwapLimit CpuCfsPeriod CpuCfsQuota CPUShares CPUSet PidsLimit IPv4Forwarding Debug NFd "
        "OomKillDisable NGoroutines SystemTime LoggingDriver CgroupDriver CgroupVersion NEventsListener KernelVersion "
        "OperatingSystem OSVersion OSType Architecture IndexServerAddress RegistryConfig NCPU MemTotal "
        "GenericResources DockerRootDir HttpProxy HttpsProxy NoProxy Name Labels ExperimentalBuild ServerVersion "
        "Runtimes DefaultRuntime Swarm LiveRestoreEnabled Isolation InitBinary ContainerdCommit RuncCommit InitCommit "
        "SecurityOptions FirewallBackend CDISpecDirs Warnings"
    )
    assert not set(names.split()) - set(told)
    assert told["MemTotal"] > 1 << 20 and told["NCPU"] >= 1
    version = client.version()
    assert {"Platform", "Components", "Version", "ApiVersion", "MinAPIVersion", "GitCommit", "GoVersion"} <= set(
        version
    )
    assert version["Components"][0]["Details"]["MinAPIVersion"] == "1.24"


def test_disk_usage(docker):
    docker("run", "-d", "--name", "writes", IMAGE, "sh", "-c", "head -c 3000000 /dev/zero >/f; sleep 1000")
    docker("run", "--name", "ended", IMAGE, "sh", "-c", "head -c 1000000 /dev/zero >/f")
    rows = [json.loads(line) for line in docker.out("system", "df", "--format", "json").splitlines()]
    assert [row["Type"] for row in rows] == ["Images", "Containers", "Local Volumes", "Build Cache"]
    assert rows[1] == {
        "Active": "1",
        "Reclaimable": "1MB (25%)",
        "Size": "4MB",
        "TotalCount": "2",
        "Type": "Containers",
    }
    table = docker.out("system", "df").splitlines()
    assert table[0] == "TYPE            TOTAL     ACTIVE    SIZE      RECLAIMABLE"
    whole = docker.out("system", "df", "-v")
    for head in (
        "Images space usage:",
        "Containers space usage:",
        "Local Volumes space usage:",
        "Build cache usage: 0B",
    ):
        assert f"{head}\n\n" in whole
    assert [line.split()[-1] for line in whole.splitlines() if line.rstrip().endswith(("writes", "ended"))] == [
        "ended",
        "writes",
    ]
    told = json.loads(docker.out("system", "df", "-v", "--format", "json"))
    assert [one["Size"] for one in told["Containers"]] == ["1MB", "3MB"]
    assert (
        docker.out("system", "df", "-v", "--format", "{{range .Images}}{{.Containers}} {{end}}").split().count("2") == 1
    )


def test_disk_usage_of_some_kinds(client):
    told = client.api._result(client.api._get(client.api._url("/system/df?type=container")), True)
    assert told["Images"] is None and told["Volumes"] is None and told["LayersSize"] == 0
    assert told["Containers"] == []
    with pytest.raises(docker_py.errors.APIError, match="unknown object type: bogus"):
        client.api._result(client.api._get(client.api._url("/system/df?type=bogus")), True)
    assert client.df()["BuildCache"] == []


def test_prune_asks(docker):
    docker("create", "--name", "kept", IMAGE, "true")
    asked = docker("system", "prune", "-a", "--volumes", "--filter", "label=x=y", stdin=b"n\n", status=None)
    assert asked.stdout.decode().startswith(
        "WARNING! This will remove:\n  - all stopped containers\n  - all networks not used by at least one container\n"
        "  - all anonymous volumes not used by at least one container\n"
        "  - all images without at least one container associated to them\n  - all build cache\n\n"
        "  Items to be pruned will be filtered with:\n  - label=x=y\n\nAre you sure you want to continue? [y/N] "
    )
    assert docker.out("ps", "-a", "--format", "{{.Names}}") == "kept"


def test_the_build_cache_is_empty(client):
    assert client.api.prune_builds() == {"CachesDeleted": None, "SpaceReclaimed": 0}
