"""The first boot of test_reboot.py: what runs when the host goes down."""

from vm import lasting

HOLD = ("sleep", "100000")
WRITES = ("sh", "-c", "echo started >> /kept/starts; sync; exec sleep 100000")
SERVES = ("sh", "-c", "mkdir -p /www && echo served > /www/index.html && exec httpd -f -p 80 -h /www")
HEALTHY = {"Test": ["CMD", "true"], "Interval": 1_000_000_000, "Retries": 1}


def test_a_day_of_a_host() -> None:
    lasting.start_engine()
    lasting.load_image()
    client = lasting.client()
    client.call("POST", "/volumes/create", {"Name": "kept"})
    front = {"Name": "front", "IPAM": {"Config": [{"Subnet": "10.77.0.0/24"}]}}
    client.call("POST", "/networks/create", front)
    for policy in ("always", "unless-stopped", "on-failure", "no"):
        lasting.run(f"runs-{policy}", *HOLD, policy=policy)
        lasting.run(f"stopped-{policy}", *HOLD, policy=policy)
        client.call("POST", f"/containers/stopped-{policy}/stop")
    lasting.run("failed", "false", policy="no")
    lasting.run("done", "true", policy="on-failure")
    for name in ("failed", "done"):
        client.call("POST", f"/containers/{name}/wait")
    lasting.create("created", "true", policy="always")
    lasting.run("paused", *HOLD)
    client.call("POST", "/containers/paused/pause")
    lasting.run("removes-itself", *HOLD, host={"AutoRemove": True})
    lasting.run("fails-always", "sh", "-c", "exit 7", policy="always")
    lasting.run("writes", *WRITES, policy="always", host={"Binds": ["kept:/kept"]})
    lasting.run("healthy", *HOLD, policy="always", Healthcheck=HEALTHY)
    ports = {"PortBindings": {"80/tcp": [{"HostPort": "8080"}]}, "NetworkMode": "front"}
    endpoint = {"EndpointsConfig": {"front": {"IPAMConfig": {"IPv4Address": "10.77.0.80"}}}}
    lasting.run("web", *SERVES, policy="always", host=ports, ExposedPorts={"80/tcp": {}}, NetworkingConfig=endpoint)
    lasting.run("asks", *HOLD, policy="always", host={"NetworkMode": "front"})
    lasting.run("joined", *HOLD, policy="always", host={"NetworkMode": "container:web"})
    lasting.wait_until(lambda: lasting.state("healthy")["Health"]["Status"] == "healthy", "healthy")
    lasting.wait_until(lambda: "served" in lasting.executed("asks", "wget", "-q", "-O-", "http://web/"), "served")
    lasting.wait_until(lambda: lasting.inspect("fails-always")["RestartCount"] > 2, "restarts")
    names = [one["Names"][0].strip("/") for one in client.call("GET", "/containers/json", query={"all": True})]  # type: ignore[union-attr,call-overload,index]
    ended = ("stopped-unless-stopped", "stopped-on-failure", "stopped-no", "failed", "done", "created")
    lasting.leave_notes(
        {
            "pids": {name: lasting.state(name)["Pid"] for name in names},
            "ended": {name: lasting.state(name) for name in ended},
            "last_event": lasting.last_event(),
            "restarts": lasting.inspect("fails-always")["RestartCount"],
            "removed": lasting.inspect("removes-itself")["Id"],
        }
    )
