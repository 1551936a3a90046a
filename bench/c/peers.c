// peers serves the vector functions of glibc's libmvec and, where SLEEF is defined, of SLEEF:
//
//	gcc -O2 -DSLEEF peers.c -o peers -lsleef -lmvec -lm && ./peers libmvec-avx2
//
// Neither library has loops over arrays: these are what a C program writes, the last vector through a padded copy.
#include "server.h"

#include <gnu/libc-version.h>
#include <immintrin.h>

#ifdef SLEEF
#include <sleef.h>

// sleef.h declares what the compiler's options allow; these functions are called only where the CPU has the instructions.
__m256 Sleef_expf8_u10avx2(__m256), Sleef_logf8_u10avx2(__m256), Sleef_powf8_u10avx2(__m256, __m256);
__m512 Sleef_expf16_u10avx512f(__m512), Sleef_logf16_u10avx512f(__m512), Sleef_powf16_u10avx512f(__m512, __m512);
#endif

__m256 _ZGVdN8v_expf(__m256), _ZGVdN8v_logf(__m256), _ZGVdN8vv_powf(__m256, __m256);
__m512 _ZGVeN16v_expf(__m512), _ZGVeN16v_logf(__m512), _ZGVeN16vv_powf(__m512, __m512);

#define AVX2 __attribute__((target("avx2,fma")))
#define AVX512 __attribute__((target("avx512f,avx2,fma")))

// LOOP defines a function of the whole array from one of a vector v.
#define LOOP(name, isa, lanes, prefix, type, expr)                                       \
	isa static void name(void) {                                                         \
		long i = 0, n = work.n;                                                          \
		const float *x = work.x;                                                         \
		float *out = work.out;                                                           \
		const type y = prefix##_set1_ps(work.exponent), one = prefix##_set1_ps(1);       \
		(void)y, (void)one;                                                              \
		for (; i + lanes <= n; i += lanes) {                                             \
			type v = prefix##_loadu_ps(x + i);                                           \
			prefix##_storeu_ps(out + i, expr);                                           \
		}                                                                                \
		if (i < n) {                                                                     \
			float last[lanes] = {0};                                                     \
			memcpy(last, x + i, 4 * (n - i));                                            \
			type v = prefix##_loadu_ps(last);                                            \
			prefix##_storeu_ps(last, expr);                                              \
			memcpy(out + i, last, 4 * (n - i));                                          \
		}                                                                                \
	}

#define LIBRARY(lib, isa, lanes, prefix, type, exp, log, pow)                            \
	LOOP(lib##_Exp, isa, lanes, prefix, type, exp(v))                                    \
	LOOP(lib##_Log, isa, lanes, prefix, type, log(v))                                    \
	LOOP(lib##_Pow, isa, lanes, prefix, type, pow(v, y))                                 \
	LOOP(lib##_Sigmoid, isa, lanes, prefix, type,                                        \
	     prefix##_div_ps(one, prefix##_add_ps(one, exp(prefix##_sub_ps(prefix##_setzero_ps(), v)))))

LIBRARY(libmvec_avx2, AVX2, 8, _mm256, __m256, _ZGVdN8v_expf, _ZGVdN8v_logf, _ZGVdN8vv_powf)
LIBRARY(libmvec_avx512, AVX512, 16, _mm512, __m512, _ZGVeN16v_expf, _ZGVeN16v_logf, _ZGVeN16vv_powf)
#ifdef SLEEF
LIBRARY(sleef_avx2, AVX2, 8, _mm256, __m256, Sleef_expf8_u10avx2, Sleef_logf8_u10avx2, Sleef_powf8_u10avx2)
LIBRARY(sleef_avx512, AVX512, 16, _mm512, __m512, Sleef_expf16_u10avx512f, Sleef_logf16_u10avx512f,
        Sleef_powf16_u10avx512f)
#endif

#define ENTRIES(name, lib) {name, "Exp", lib##_Exp}, {name, "Log", lib##_Log}, {name, "Pow", lib##_Pow}, \
	{name, "Sigmoid", lib##_Sigmoid}

static const struct {
	const char *library, *function;
	void (*run)(void);
} table[] = {
	ENTRIES("libmvec-avx2", libmvec_avx2),
	ENTRIES("libmvec-avx512", libmvec_avx512),
#ifdef SLEEF
	ENTRIES("sleef-avx2", sleef_avx2),
	ENTRIES("sleef-avx512", sleef_avx512),
#endif
};

static const char *library;
static void (*selected)(void);

static const char *version(void) {
	static char text[64];
	snprintf(text, sizeof text, "glibc %s", gnu_get_libc_version());
#ifdef SLEEF
	if (strstr(library, "sleef")) {
		snprintf(text, sizeof text, "%d.%d.%d", SLEEF_VERSION_MAJOR, SLEEF_VERSION_MINOR, SLEEF_VERSION_PATCHLEVEL);
	}
#endif
	return text;
}

static int prepare(void) {
	for (unsigned i = 0; i < sizeof table / sizeof *table; i++) {
		if (!strcmp(table[i].library, library) && !strcmp(table[i].function, work.function)) {
			selected = table[i].run;
			work.outputs = work.n;
			return 1;
		}
	}
	return 0;
}

static void run(void) { selected(); }

static void command(const char *line) { exit(1); }

int main(int argc, char **argv) {
	library = argc > 1 ? argv[1] : "";
	int known = 0;
	for (unsigned i = 0; i < sizeof table / sizeof *table; i++) known |= !strcmp(table[i].library, library);
	if (!known) {
		fprintf(stderr, "unknown library %s\n", library);
		return 1;
	}
	serve();
	return 0;
}
