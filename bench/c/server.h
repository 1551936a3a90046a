// The C side of the protocol that remote.go describes. A peer defines version, prepare and run, and includes this file
// last; main belongs to it.
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static struct {
	char function[64];
	long rows, classes, n; // n = rows * classes
	float gamma, alpha, exponent;
	float *x, *targets;
	int32_t *labels;
	float *out;
	long outputs;
} work;

static const char *version(void);
static int prepare(void);              // 1: ready; 0: no such function; work.outputs is set
static void run(void);                 // calls the function once
static void command(const char *line); // anything else

static void *aligned(size_t bytes) {
	void *p = aligned_alloc(64, (bytes + 127) / 64 * 64);
	if (!p) abort();
	return p;
}

static void *receive(long count) {
	void *p = aligned(4 * count);
	if (fread(p, 4, count, stdin) != (size_t)count) exit(1);
	return p;
}

static double now(void) {
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return 1e9 * t.tv_sec + t.tv_nsec;
}

static void serve(void) {
	signal(SIGINT, SIG_IGN);
	setvbuf(stdin, NULL, _IOFBF, 1 << 16);
	printf("hello %s\n", version());
	fflush(stdout);
	char line[512];
	while (fgets(line, sizeof line, stdin)) {
		long labels, targets, warm, reps;
		if (sscanf(line, "prepare %63s %ld %ld %f %f %f %ld %ld", work.function, &work.rows, &work.classes, &work.gamma,
		           &work.alpha, &work.exponent, &labels, &targets) == 8) {
			free(work.x), free(work.labels), free(work.targets), free(work.out);
			work.n = work.rows * work.classes;
			work.x = receive(work.n);
			work.labels = receive(labels);
			work.targets = receive(targets);
			work.out = aligned(4 * work.n);
			memset(work.out, 0, 4 * work.n);
			if (prepare()) printf("ok %ld\n", work.outputs);
			else printf("no\n");
		} else if (sscanf(line, "time %ld %ld", &warm, &reps) == 2) {
			for (long i = 0; i < warm; i++) run();
			double start = now();
			for (long i = 0; i < reps; i++) run();
			printf("%.0f\n", now() - start);
		} else if (!strncmp(line, "result", 6)) {
			run();
			fwrite(work.out, 4, work.outputs, stdout);
		} else {
			command(line);
		}
		fflush(stdout);
	}
}
