// onnx serves a model that ONNX Runtime runs on one thread, through its C API:
//
//	gcc -O2 onnx.c -o onnx -ldl && ./onnx libonnxruntime.so
//
// "model BYTES" and that many bytes precede each prepare. The header of the API is not shipped with the library, but
// its functions never move: below are their places in the table (struct OrtApi of onnxruntime_c_api.h).
#include "server.h"

#include <dlfcn.h>

enum {
	GetErrorMessage = 2,
	CreateEnv = 3,
	CreateSessionFromArray = 8,
	Run = 9,
	CreateSessionOptions = 10,
	SetSessionGraphOptimizationLevel = 23,
	SetIntraOpNumThreads = 24,
	SetInterOpNumThreads = 25,
	CreateTensorWithDataAsOrtValue = 49,
	CreateCpuMemoryInfo = 69,
	ReleaseStatus = 93,
	ReleaseSession = 95,
	ReleaseValue = 96,
};

enum { FLOAT = 1, INT64 = 7 };                // ONNXTensorElementDataType
enum { ENABLE_ALL = 99, LOG_ERROR = 3 };      // GraphOptimizationLevel, OrtLoggingLevel
enum { ARENA_ALLOCATOR = 1, MEM_DEFAULT = 0 }; // OrtAllocatorType, OrtMemType
enum { API_VERSION = 17 };                    // any version since has these functions

struct base {
	void *const *(*get_api)(uint32_t version);
	const char *(*get_version)(void);
};

static const struct base *base;
static void *const *api;
static void *env, *options, *memory, *session, *values[2], *output;
static size_t inputs;
static int64_t *labels;
static void *model;
static size_t model_size;

// CALL calls a function of the API that returns a status.
#define CALL(name, types, ...) check(#name, ((void *(*)types)api[name])(__VA_ARGS__))

static void check(const char *name, void *status) {
	if (!status) return;
	fprintf(stderr, "%s: %s\n", name, ((const char *(*)(void *))api[GetErrorMessage])(status));
	exit(1);
}

static void release(int function, void **object) {
	if (*object) ((void (*)(void *))api[function])(*object);
	*object = NULL;
}

static const char *version(void) { return base->get_version(); }

static void *tensor(void *data, size_t bytes, int type, const int64_t *shape, size_t dims) {
	void *value;
	CALL(CreateTensorWithDataAsOrtValue, (void *, void *, size_t, const int64_t *, size_t, int, void **), memory, data,
	     bytes, shape, dims, type, &value);
	return value;
}

static void command(const char *line) {
	if (sscanf(line, "model %zu", &model_size) != 1) exit(1);
	free(model);
	model = aligned(model_size);
	if (fread(model, 1, model_size, stdin) != model_size) exit(1);
}

static int prepare(void) {
	release(ReleaseSession, &session);
	release(ReleaseValue, &values[0]);
	release(ReleaseValue, &values[1]);
	release(ReleaseValue, &output);
	if (!model_size) return 0;
	CALL(CreateSessionFromArray, (void *, const void *, size_t, void *, void **), env, model, model_size, options, &session);

	int64_t shape[] = {work.rows, work.classes}, one[] = {1, 1}, column[] = {work.rows, 1};
	values[0] = tensor(work.x, 4 * work.n, FLOAT, shape, 2);
	inputs = 1;
	int labeled = !strncmp(work.function, "SoftmaxLoss", 11) || !strcmp(work.function, "LogProbs");
	if (labeled) {
		free(labels);
		labels = aligned(8 * work.rows);
		for (long i = 0; i < work.rows; i++) labels[i] = work.labels[i];
		values[inputs++] = tensor(labels, 8 * work.rows, INT64, column, 2);
	} else if (!strncmp(work.function, "SigmoidLoss", 11)) {
		values[inputs++] = tensor(work.targets, 4 * work.n, FLOAT, shape, 2);
	}
	const int64_t *outputs = shape;
	if (strstr(work.function, ".Sum")) outputs = one;
	else if (labeled || !strcmp(work.function, "LogSumExp")) outputs = column;
	work.outputs = outputs[0] * outputs[1];
	output = tensor(work.out, 4 * work.outputs, FLOAT, outputs, 2);
	return 1;
}

static void run(void) {
	static const char *const in[] = {"x", "truth"}, *const out[] = {"y"};
	CALL(Run, (void *, void *, const char *const *, void *const *, size_t, const char *const *, size_t, void **), session,
	     NULL, in, values, inputs, out, 1, &output);
}

int main(int argc, char **argv) {
	void *library = argc > 1 ? dlopen(argv[1], RTLD_NOW) : NULL;
	const struct base *(*get_base)(void) = library ? (const struct base *(*)(void))dlsym(library, "OrtGetApiBase") : NULL;
	if (!get_base) {
		fprintf(stderr, "%s\n", dlerror());
		return 1;
	}
	base = get_base();
	api = base->get_api(API_VERSION);
	CALL(CreateEnv, (int, const char *, void **), LOG_ERROR, "bench", &env);
	CALL(CreateSessionOptions, (void **), &options);
	CALL(SetIntraOpNumThreads, (void *, int), options, 1);
	CALL(SetInterOpNumThreads, (void *, int), options, 1);
	CALL(SetSessionGraphOptimizationLevel, (void *, int), options, ENABLE_ALL);
	CALL(CreateCpuMemoryInfo, (int, int, void **), ARENA_ALLOCATOR, MEM_DEFAULT, &memory);
	serve();
	return 0;
}
