"""The tables of networks and endpoints, and how an earlier engine's become today's: see `state`.

network    one row for each; `config` is JSON; `last4` and `last6` are where the rounds of addresses stand;
           `other_macs`: somebody there had a MAC that does not follow from its address, in this boot
endpoint   one row for each sandbox on a network; (network, ipv4) and (network, ipv6) are unique, so the file itself
           refuses to give an address twice; `want` is JSON: what the sandbox asked
published  the host's ports of each sandbox that has some, as the firewall knows them
"""

from wardian.database import Schema

SCHEMA = Schema(
    "network",
    [
        """
        CREATE TABLE network (
            id TEXT PRIMARY KEY,
            name TEXT NOT NULL UNIQUE,
            driver TEXT NOT NULL,
            subnet TEXT NOT NULL,
            last_address TEXT NOT NULL,
            created TEXT NOT NULL
        );
        CREATE TABLE endpoint (
            sandbox TEXT NOT NULL,
            network TEXT NOT NULL REFERENCES network (id),
            id TEXT NOT NULL,
            address TEXT NOT NULL,
            mac TEXT NOT NULL,
            PRIMARY KEY (sandbox, network),
            UNIQUE (network, address)
        );
        """,
        "ALTER TABLE network ADD COLUMN boot TEXT NOT NULL DEFAULT ''",
        # The default bridge's subnet was one of /16 or /20 with its gateway at .1, so the gateway is text as well.
        """
        CREATE TABLE many_network (
            id TEXT PRIMARY KEY,
            name TEXT NOT NULL UNIQUE,
            config TEXT NOT NULL,
            last4 TEXT NOT NULL,
            last6 TEXT NOT NULL,
            boot TEXT NOT NULL
        );
        CREATE TABLE many_endpoint (
            sandbox TEXT NOT NULL,
            network TEXT NOT NULL REFERENCES many_network (id),
            id TEXT NOT NULL,
            ipv4 TEXT,
            ipv6 TEXT,
            mac TEXT NOT NULL,
            interface TEXT NOT NULL,
            want TEXT NOT NULL,
            PRIMARY KEY (sandbox, network),
            UNIQUE (network, ipv4),
            UNIQUE (network, ipv6)
        );
        INSERT INTO many_network
            SELECT id, name,
                json_object('driver', driver, 'created', created, 'subnets',
                    CASE subnet WHEN '' THEN json_array() ELSE json_array(json_object(
                        'subnet', subnet,
                        'gateway', substr(subnet, 1, instr(subnet, '/') - 2) || '1',
                        'chosen', json('true')
                    )) END),
                last_address, '', boot
            FROM network;
        INSERT INTO many_endpoint
            SELECT sandbox, network, id, address, NULL, mac, 'eth0', '{}' FROM endpoint ORDER BY rowid;
        DROP TABLE endpoint;
        DROP TABLE network;
        ALTER TABLE many_network RENAME TO network;
        ALTER TABLE many_endpoint RENAME TO endpoint;
        CREATE TABLE published (
            sandbox TEXT NOT NULL,
            protocol TEXT NOT NULL,
            host_ip TEXT NOT NULL,
            host_port INTEGER NOT NULL,
            address TEXT NOT NULL,
            port INTEGER NOT NULL,
            link TEXT NOT NULL,
            UNIQUE (protocol, host_ip, host_port)
        );
        CREATE INDEX published_by_sandbox ON published (sandbox);
        """,
        # Nobody kept count before: 1 until the next boot.
        "ALTER TABLE network ADD COLUMN other_macs INTEGER NOT NULL DEFAULT 1",
    ],
)
