"""Which verb lives where: the whole of Docker's command tree, each verb with its module, or with none (not built yet).

A row is `verb: (module:COMMAND, summary)`; the module is imported only when its verb is typed. Top-level verbs that are
short for a group's verb name that one: `ps` is `container ls`.
"""

from __future__ import annotations

CONTAINER = {
    "attach": ("attach:ATTACH", "Join the standard streams of a running container"),
    "commit": ("container_files:COMMIT", "Make an image from a container's changes"),
    "cp": ("cp:CP", "Copy files between a container and this machine"),
    "create": ("run:CREATE", "Make a container, without starting it"),
    "diff": ("container_files:DIFF", "List what changed in a container's file system"),
    "exec": ("execute:EXEC", "Run a command inside a running container"),
    "export": ("container_files:EXPORT", "Write a container's file system as a tar archive"),
    "inspect": ("inspect:CONTAINER", "Show everything known about containers"),
    "kill": ("lifecycle:KILL", "Send a signal to running containers"),
    "logs": ("logs:LOGS", "Show what a container wrote"),
    "ls": ("ps:PS", "List containers"),
    "pause": ("lifecycle:PAUSE", "Freeze all processes of containers"),
    "port": ("port:PORT", "List the published ports of a container"),
    "prune": ("containers:PRUNE", "Remove all stopped containers"),
    "rename": ("containers:RENAME", "Give a container another name"),
    "restart": ("lifecycle:RESTART", "Stop and start containers"),
    "rm": ("lifecycle:RM", "Remove containers"),
    "run": ("run:RUN", "Make a container from an image and start it"),
    "start": ("attach:START", "Start containers that are stopped"),
    "stats": ("stats:STATS", "Watch what containers use"),
    "stop": ("lifecycle:STOP", "Ask running containers to end, then make them"),
    "top": ("containers:TOP", "List the processes of a container"),
    "unpause": ("lifecycle:UNPAUSE", "Thaw all processes of containers"),
    "update": ("lifecycle:UPDATE", "Change the limits of containers"),
    "wait": ("lifecycle:WAIT", "Wait until containers end and print their exit codes"),
}
IMAGE = {
    "build": ("", "Build an image from a Dockerfile"),
    "history": ("images:HISTORY", "Show the steps that made an image"),
    "import": ("archives:IMPORT", "Make an image from a tar archive of a file system"),
    "inspect": ("inspect:IMAGE", "Show everything known about images"),
    "load": ("archives:LOAD", "Load images from a tar archive or stdin"),
    "ls": ("images:LS", "List images"),
    "prune": ("images:PRUNE", "Remove images that nothing uses"),
    "pull": ("pull:PULL", "Fetch an image from a registry"),
    "push": ("push:PUSH", "Upload an image to a registry"),
    "rm": ("images:RM", "Remove images"),
    "save": ("archives:SAVE", "Write images as a tar archive"),
    "tag": ("images:TAG", "Give an image another name"),
}
NETWORK = {
    "connect": ("networks:CONNECT", "Connect a container to a network"),
    "create": ("networks:CREATE", "Create a network"),
    "disconnect": ("networks:DISCONNECT", "Disconnect a container from a network"),
    "inspect": ("inspect:NETWORK", "Show everything known about networks"),
    "ls": ("networks:LS", "List networks"),
    "prune": ("networks:PRUNE", "Remove networks that nothing uses"),
    "rm": ("networks:RM", "Remove networks"),
}
VOLUME = {
    "create": ("volumes:CREATE", "Create a volume"),
    "inspect": ("inspect:VOLUME", "Show everything known about volumes"),
    "ls": ("volumes:LS", "List volumes"),
    "prune": ("volumes:PRUNE", "Remove volumes that nothing uses"),
    "rm": ("volumes:RM", "Remove volumes"),
    "update": ("volumes:UPDATE", "Update a volume (cluster volumes only)"),
}
SYSTEM = {
    "df": ("disk_usage:DF", "Show what takes disk space"),
    "dial-stdio": ("dial:DIAL_STDIO", "Carry stdio to the engine's socket"),
    "events": ("events:EVENTS", "Watch what happens in the engine"),
    "info": ("system:INFO", "Show the engine and this host"),
    "install": ("install:INSTALL", "Write and enable the systemd units of the engine"),
    "prune": ("system_prune:PRUNE", "Remove what is not used"),
    "uninstall": ("install:UNINSTALL", "Remove the systemd units of the engine"),
}
CONTEXT = {
    "create": ("contexts:CREATE", "Create a context: a name for an engine"),
    "export": ("contexts:EXPORT", "Write a context as a tar archive"),
    "import": ("contexts:IMPORT", "Make a context from a tar or zip archive"),
    "inspect": ("contexts:INSPECT", "Show everything known about contexts"),
    "ls": ("contexts:LS", "List contexts"),
    "rm": ("contexts:RM", "Remove contexts"),
    "show": ("contexts:SHOW", "Print the name of the current context"),
    "update": ("contexts:UPDATE", "Change a context"),
    "use": ("contexts:USE", "Make a context the current one of this command"),
}
BUILDER = {"build": ("", "Build an image from a Dockerfile"), "prune": ("builder:PRUNE", "Remove the build cache")}


def _unbuilt(verbs: str) -> dict[str, tuple[str, str]]:
    return dict.fromkeys(verbs.split(), ("", ""))


GROUPS: dict[str, tuple[str, dict[str, tuple[str, str]]]] = {
    "builder": ("Manage builds", BUILDER),
    "buildx": (
        "Build with BuildKit",
        _unbuilt("bake build create debug dial-stdio du history imagetools inspect ls prune rm stop use"),
    ),
    "checkpoint": ("Manage checkpoints", _unbuilt("create ls rm")),
    "compose": (
        "Run several containers as one application",
        _unbuilt(
            "attach build commit config convert cp create down events exec export images kill logs ls pause port ps "
            "publish pull push restart rm run scale start stats stop top unpause up version volumes wait watch"
        ),
    ),
    "config": ("Manage Swarm configs", _unbuilt("create inspect ls rm")),
    "container": ("Manage containers", CONTAINER),
    "context": ("Manage contexts", CONTEXT),
    "image": ("Manage images", IMAGE),
    "manifest": ("Manage image manifests and lists of them", _unbuilt("annotate create inspect push rm")),
    "network": ("Manage networks", NETWORK),
    "node": ("Manage Swarm nodes", _unbuilt("demote inspect ls promote ps rm update")),
    "plugin": (
        "Manage plugins",
        _unbuilt("create disable enable inspect install ls push rm set upgrade"),
    ),
    "secret": ("Manage Swarm secrets", _unbuilt("create inspect ls rm")),
    "service": ("Manage Swarm services", _unbuilt("create inspect logs ls ps rm rollback scale update")),
    "stack": ("Manage Swarm stacks", _unbuilt("config deploy ls ps rm services")),
    "swarm": ("Manage Swarm", _unbuilt("ca init join join-token leave unlock unlock-key update")),
    "system": ("Manage the engine", SYSTEM),
    "trust": ("Manage trust in images", _unbuilt("inspect key revoke sign signer")),
    "volume": ("Manage volumes", VOLUME),
}
# A group's other names for a verb.
ALIASES = {
    "container": {"list": "ls", "ps": "ls", "remove": "rm"},
    "context": {"list": "ls", "remove": "rm"},
    "image": {"list": "ls", "remove": "rm"},
    "network": {"list": "ls", "remove": "rm"},
    "volume": {"list": "ls", "remove": "rm"},
}
# Top-level verbs with a row of their own.
OWN = {
    "completion": ("completion:COMPLETION", "Print the completion script of a shell"),
    "explain": ("explain:EXPLAIN", "Show the plan that started a container, with durations"),
    "inspect": ("inspect:ANY", "Show everything known about objects of any kind"),
    "login": ("login:LOGIN", "Sign in to a registry"),
    "logout": ("login:LOGOUT", "Sign out from a registry"),
    "man": ("man:MAN", "Write the manual pages into a directory"),
    "plan": ("run:PLAN", "Show what run would do with the same arguments; nothing is made"),
    "search": ("search:SEARCH", "Search a registry for images"),
    "serve": ("serve:SERVE", "Run the engine in the foreground"),
    "version": ("system:VERSION", "Show the versions of this command and of the engine"),
}
# What other programs call, in no help.
HIDDEN = {"__complete": ("complete:COMPLETE", "")}
# Top-level verbs that stand for a verb of a group.
SHORT = {
    **{verb: ("container", verb) for verb in CONTAINER if verb not in ("inspect", "ls", "prune")},
    **{verb: ("image", verb) for verb in ("build", "history", "import", "load", "pull", "push", "save", "tag")},
    "events": ("system", "events"),
    "images": ("image", "ls"),
    "info": ("system", "info"),
    "ps": ("container", "ls"),
    "rmi": ("image", "rm"),
}


def find(words: list[str]) -> tuple[str, str, str, list[str]] | None:
    """(path as typed, target, summary, the arguments left) of the verb that `words` begin with; None when none does."""
    verb, rest = words[0], words[1:]
    if verb in OWN or verb in HIDDEN:
        return verb, *(OWN.get(verb) or HIDDEN[verb]), rest
    if verb in SHORT:
        group, name = SHORT[verb]
        return verb, *GROUPS[group][1][name], rest
    if verb in GROUPS and rest:
        name = ALIASES.get(verb, {}).get(rest[0], rest[0])
        row = GROUPS[verb][1].get(name)
        if row is not None:
            return f"{verb} {rest[0]}", *row, rest[1:]
    return None


def canonical(words: list[str]) -> tuple[str, str]:
    """(group, verb) that `words` begin with, whatever they are called there; group "" for one of the top level."""
    if words[0] in SHORT:
        return SHORT[words[0]]
    if words[0] in GROUPS and len(words) > 1:
        return words[0], ALIASES.get(words[0], {}).get(words[1], words[1])
    return "", words[0]
