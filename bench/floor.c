/* The kernel's own price of a container: new namespaces, an overlay, pivot_root, /proc, execve, wait; no engine, no
 * supervisor, no cgroup, no seccomp. What an engine takes on top of this is the engine's.
 *
 *   floor LOWER WORKDIR COUNT FLAGS     prints the median microseconds; FLAGS: e execve only, n with a network namespace
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static char stack[1 << 16] __attribute__((aligned(16)));
static char *const command[] = {"/bin/busybox", "true", NULL};
static char *const environment[] = {NULL};

struct root {
	const char *options; /* of the overlay */
	const char *point;
	int inside; /* make the root, or only exec */
};

static int fail(const char *what)
{
	perror(what);
	_exit(99);
}

static int child(void *argument)
{
	const struct root *root = argument;

	if (root->inside) {
		if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
			fail("private");
		if (mount("overlay", root->point, "overlay", 0, root->options) < 0)
			fail("overlay");
		if (chdir(root->point) < 0 || syscall(SYS_pivot_root, ".", ".") < 0 || umount2(".", MNT_DETACH) < 0)
			fail("pivot_root");
		if (mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) < 0)
			fail("proc");
		if (sethostname("floor", 5) < 0)
			fail("sethostname");
	}
	execve(root->inside ? command[0] : "/bin/busybox", command, environment);
	return fail("execve");
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

int main(int argc, char **argv)
{
	static char options[4096], upper[1024], work[1024], point[1024];
	int flags = SIGCHLD, count, status;
	double *samples;
	struct root root = {options, point, 1};

	if (argc != 5 || (count = atoi(argv[3])) < 1)
		return 2;
	root.inside = strchr(argv[4], 'e') == NULL;
	if (root.inside)
		flags |= CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWCGROUP;
	if (strchr(argv[4], 'n'))
		flags |= CLONE_NEWNET;
	samples = calloc(count, sizeof *samples);
	for (int i = 0; i < count; i++) {
		struct timespec a, b;
		pid_t pid;

		clock_gettime(CLOCK_MONOTONIC, &a);
		snprintf(upper, sizeof upper, "%s/%d.upper", argv[2], i);
		snprintf(work, sizeof work, "%s/%d.work", argv[2], i);
		snprintf(point, sizeof point, "%s/%d.point", argv[2], i);
		if (root.inside && (mkdir(upper, 0755) < 0 || mkdir(work, 0755) < 0 || mkdir(point, 0755) < 0))
			fail("mkdir");
		snprintf(options, sizeof options, "lowerdir=%s,upperdir=%s,workdir=%s", argv[1], upper, work);
		pid = clone(child, stack + sizeof stack, flags | CLONE_VFORK | CLONE_VM, &root);
		if (pid < 0)
			fail("clone");
		if (waitpid(pid, &status, 0) != pid || !WIFEXITED(status) || WEXITSTATUS(status) != 0) {
			fprintf(stderr, "child: status %#x\n", status);
			return 1;
		}
		clock_gettime(CLOCK_MONOTONIC, &b);
		samples[i] = (b.tv_sec - a.tv_sec) * 1e6 + (b.tv_nsec - a.tv_nsec) / 1e3;
	}
	qsort(samples, count, sizeof *samples, by_value);
	printf("%.0f\n", samples[count / 2]);
	return 0;
}
