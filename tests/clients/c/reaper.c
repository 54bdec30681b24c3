/* What testcontainers' reaper does: accept one client on port 8080, acknowledge each filter line that it sends
 * ("label=KEY=VALUE"), and when it has gone, remove the containers with that label through the engine's socket.
 */
#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static char answer[1 << 20];

/* One request of HTTP/1.0 (the engine closes after it); the answer is left in `answer`. */
static int ask(const char *method, const char *path)
{
	struct sockaddr_un engine = { .sun_family = AF_UNIX, .sun_path = "/var/run/docker.sock" };
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	size_t have = 0;
	ssize_t got;

	if (fd < 0 || connect(fd, (struct sockaddr *)&engine, sizeof engine))
		return -1;
	dprintf(fd, "%s %s HTTP/1.0\r\n\r\n", method, path);
	while (have < sizeof answer - 1 && (got = read(fd, answer + have, sizeof answer - 1 - have)) > 0)
		have += (size_t)got;
	answer[have] = 0;
	close(fd);
	return 0;
}

static int reap(const char *label)
{
	static char found[1 << 20];
	char path[1024];
	const char *at = found;

	snprintf(path, sizeof path, "/v1.41/containers/json?all=1&filters={\"label\":[\"%s\"]}", label);
	if (ask("GET", path))
		return 1;
	memcpy(found, answer, sizeof found);
	while ((at = strstr(at, "\"Id\":\""))) {
		at += 6;
		snprintf(path, sizeof path, "/v1.41/containers/%.64s?force=1&v=1", at);
		if (ask("DELETE", path))
			return 1;
	}
	return 0;
}

int main(void)
{
	struct sockaddr_in all = { .sin_family = AF_INET, .sin_port = htons(8080) };
	char line[512], label[512] = "";
	int door = socket(AF_INET, SOCK_STREAM, 0), one = 1, client;
	ssize_t got;

	setsockopt(door, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
	if (bind(door, (struct sockaddr *)&all, sizeof all) || listen(door, 8))
		return 1;
	puts("reaper: Started!");
	fflush(stdout);
	client = accept(door, NULL, NULL);
	while ((got = read(client, line, sizeof line - 1)) > 0) {
		line[got] = 0;
		line[strcspn(line, "\r\n")] = 0;
		if (!strncmp(line, "label=", 6))
			strcpy(label, line + 6);
		dprintf(client, "ACK\n");
	}
	return label[0] ? reap(label) : 2;
}
