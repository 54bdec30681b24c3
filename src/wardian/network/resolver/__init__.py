"""The process `wardian-resolver`: one for an engine, which it outlives. Imports nothing of Wardian outside of this
package, and of Python only what it needs: 500 sandboxes share it, and each of their names waits for it.

    message    DNS packets, pure              zone       the names on one network, pure
    tables     those of all, from files
    sandbox    one sandbox's sockets, view    stream     a TCP client
    forward    questions passed on            upstream   to whom       inside    from where
    protocol   what the engine says           service    and who listens to it
    loop       epoll and timers               program    the process: how it begins and ends
"""
