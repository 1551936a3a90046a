// peers times libmvec's and SLEEF's vector functions on 4096 floats: the best of many rounds, in ns per element.
//
//	gcc -O2 -march=native peers.c -o peers -lsleef -lmvec -lm && ./peers
#include <immintrin.h>
#include <sleef.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { N = 4096, ROUNDS = 400 };

__m256 _ZGVdN8v_expf(__m256), _ZGVdN8v_logf(__m256), _ZGVdN8vv_powf(__m256, __m256);
__m512 _ZGVeN16v_expf(__m512), _ZGVeN16v_logf(__m512), _ZGVeN16vv_powf(__m512, __m512);

static float x[N + 16], y[N + 16];

static double now(void) {
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return 1e9 * t.tv_sec + t.tv_nsec;
}

static int compare(const void *a, const void *b) {
	double d = *(double *)a - *(double *)b;
	return (d > 0) - (d < 0);
}

#define TIME(name, lanes, prefix, type, expr)                                              \
	{                                                                                      \
		static double t[ROUNDS];                                                           \
		for (int r = 0; r < ROUNDS; r++) {                                                 \
			double start = now();                                                          \
			for (int k = 0; k < 10; k++)                                                   \
				for (int i = 0; i < N; i += lanes) {                                       \
					type v = prefix##_loadu_ps(x + i);                                     \
					prefix##_storeu_ps(y + i, expr);                                       \
				}                                                                          \
			t[r] = (now() - start) / (10 * N);                                             \
		}                                                                                  \
		qsort(t, ROUNDS, sizeof *t, compare);                                              \
		printf("%-24s %.4f %.4f\n", name, t[0], t[ROUNDS / 2]);                            \
	}

int main(void) {
	for (int i = 0; i < N; i++) x[i] = (rand() / (float)RAND_MAX - .5f) * 20;
	TIME("exp/avx2/libmvec", 8, _mm256, __m256, _ZGVdN8v_expf(v));
	TIME("exp/avx2/sleef", 8, _mm256, __m256, Sleef_expf8_u10avx2(v));
	TIME("exp/avx512/libmvec", 16, _mm512, __m512, _ZGVeN16v_expf(v));
	TIME("exp/avx512/sleef", 16, _mm512, __m512, Sleef_expf16_u10avx512f(v));
	for (int i = 0; i < N; i++) x[i] = rand() / (float)RAND_MAX + 0x1p-20f;
	TIME("log/avx2/libmvec", 8, _mm256, __m256, _ZGVdN8v_logf(v));
	TIME("log/avx2/sleef", 8, _mm256, __m256, Sleef_logf8_u10avx2(v));
	TIME("log/avx512/libmvec", 16, _mm512, __m512, _ZGVeN16v_logf(v));
	TIME("log/avx512/sleef", 16, _mm512, __m512, Sleef_logf16_u10avx512f(v));
	TIME("pow/avx2/libmvec", 8, _mm256, __m256, _ZGVdN8vv_powf(v, _mm256_set1_ps(2.5f)));
	TIME("pow/avx2/sleef", 8, _mm256, __m256, Sleef_powf8_u10avx2(v, _mm256_set1_ps(2.5f)));
	TIME("pow/avx512/libmvec", 16, _mm512, __m512, _ZGVeN16vv_powf(v, _mm512_set1_ps(2.5f)));
	TIME("pow/avx512/sleef", 16, _mm512, __m512, Sleef_powf16_u10avx512f(v, _mm512_set1_ps(2.5f)));
}
