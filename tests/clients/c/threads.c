/* A process of two threads that wait, for tests that look at threads from outside. */
#define _GNU_SOURCE
#include <pthread.h>
#include <unistd.h>

static void *wait_named(void *name)
{
	pthread_setname_np(pthread_self(), name);
	pause();
	return NULL;
}

int main(void)
{
	pthread_t second;
	char name[] = "second";

	if (pthread_create(&second, NULL, wait_named, name))
		return 1;
	pause();
	return 0;
}
