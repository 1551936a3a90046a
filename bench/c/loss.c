// loss serves the functions on rows and the losses as plain loops in C, which gcc turns into vector code that calls
// libmvec:
//
//	gcc -Ofast -march=native -mprefer-vector-width=512 loss.c -o loss -lm && ./loss
#include "server.h"

#include <math.h>

static float *weights; // of the classes

static float softmax_sum(const float *restrict z, long n, float *max) {
	float m = z[0], sum = 0;
	for (long j = 1; j < n; j++) m = z[j] > m ? z[j] : m;
	for (long j = 0; j < n; j++) sum += expf(z[j] - m);
	*max = m;
	return sum;
}

static void Softmax(void) {
	for (long i = 0; i < work.rows; i++) {
		const float *restrict z = work.x + i * work.classes;
		float *restrict out = work.out + i * work.classes;
		float m = z[0], sum = 0;
		for (long j = 1; j < work.classes; j++) m = z[j] > m ? z[j] : m;
		for (long j = 0; j < work.classes; j++) sum += out[j] = expf(z[j] - m);
		for (long j = 0; j < work.classes; j++) out[j] /= sum;
	}
}

static void LogSoftmax(void) {
	for (long i = 0; i < work.rows; i++) {
		const float *restrict z = work.x + i * work.classes;
		float *restrict out = work.out + i * work.classes;
		float m, sum = softmax_sum(z, work.classes, &m), log = m + logf(sum);
		for (long j = 0; j < work.classes; j++) out[j] = z[j] - log;
	}
}

static void LogSumExp(void) {
	for (long i = 0; i < work.rows; i++) {
		float m, sum = softmax_sum(work.x + i * work.classes, work.classes, &m);
		work.out[i] = m + logf(sum);
	}
}

static void LogProbs(void) {
	for (long i = 0; i < work.rows; i++) {
		const float *z = work.x + i * work.classes;
		float m, sum = softmax_sum(z, work.classes, &m);
		work.out[i] = z[work.labels[i]] - m - logf(sum);
	}
}

static float softmax_loss(long i, float *p, float *nll) {
	const float *z = work.x + i * work.classes;
	float m, sum = softmax_sum(z, work.classes, &m), q;
	*nll = m + logf(sum) - z[work.labels[i]];
	*p = expf(-*nll);
	q = 1 - *p;
	return weights[work.labels[i]] * powf(q, work.gamma) * *nll;
}

static void SoftmaxLoss_Sum(void) {
	float sum = 0, p, nll;
	for (long i = 0; i < work.rows; i++) sum += softmax_loss(i, &p, &nll);
	work.out[0] = sum;
}

static void SoftmaxLoss_Each(void) {
	float p, nll;
	for (long i = 0; i < work.rows; i++) work.out[i] = softmax_loss(i, &p, &nll);
}

static void SoftmaxLoss_Grad(void) {
	for (long i = 0; i < work.rows; i++) {
		const float *restrict z = work.x + i * work.classes;
		float *restrict grad = work.out + i * work.classes;
		long t = work.labels[i];
		float m = z[0], sum = 0;
		for (long j = 1; j < work.classes; j++) m = z[j] > m ? z[j] : m;
		for (long j = 0; j < work.classes; j++) sum += grad[j] = expf(z[j] - m);
		float nll = m + logf(sum) - z[t], p = expf(-nll), q = 1 - p;
		float g = weights[t] * (powf(q, work.gamma) + work.gamma * powf(q, work.gamma - 1) * p * nll);
		float scale = g / sum;
		for (long j = 0; j < work.classes; j++) grad[j] *= scale;
		grad[t] = -g * q;
	}
}

// sigmoid_loss is torchvision's formula; gamma is 2 here, and q^2 written as a product.
static inline float sigmoid_loss(float x, float y, float alpha, float *grad) {
	float e = expf(-fabsf(x)), r = 1 / (1 + e);
	float p = x < 0 ? e * r : r;
	float ce = fmaxf(x, 0) - x * y + log1pf(e);
	float q = p * (1 - y) + (1 - p) * y, w = alpha * y + (1 - alpha) * (1 - y);
	*grad = w * (q * q * (p - y) + 2 * q * p * (1 - p) * (1 - 2 * y) * ce);
	return w * q * q * ce;
}

static void SigmoidLoss_Sum(void) {
	const float *restrict x = work.x, *restrict y = work.targets;
	float sum = 0, g, a = work.alpha;
	for (long i = 0; i < work.n; i++) sum += sigmoid_loss(x[i], y[i], a, &g);
	work.out[0] = sum;
}

static void SigmoidLoss_Each(void) {
	const float *restrict x = work.x, *restrict y = work.targets;
	float *restrict out = work.out, g, a = work.alpha;
	for (long i = 0; i < work.n; i++) out[i] = sigmoid_loss(x[i], y[i], a, &g);
}

static void SigmoidLoss_Grad(void) {
	const float *restrict x = work.x, *restrict y = work.targets;
	float *restrict out = work.out, a = work.alpha, g;
	for (long i = 0; i < work.n; i++) {
		sigmoid_loss(x[i], y[i], a, &g);
		out[i] = g;
	}
}

static float one_vs_rest_row(long i) {
	const float *restrict x = work.x + i * work.classes;
	long t = work.labels[i];
	float sum = 0, g, h, a = work.alpha;
	for (long j = 0; j < work.classes; j++) sum += sigmoid_loss(x[j], 0, a, &g);
	if (t < work.classes) sum += sigmoid_loss(x[t], 1, a, &g) - sigmoid_loss(x[t], 0, a, &h);
	return sum;
}

static void OneVsRestLoss_Sum(void) {
	float sum = 0;
	for (long i = 0; i < work.rows; i++) sum += one_vs_rest_row(i);
	work.out[0] = sum;
}

static void OneVsRestLoss_Each(void) {
	for (long i = 0; i < work.rows; i++) work.out[i] = one_vs_rest_row(i);
}

static void OneVsRestLoss_Grad(void) {
	for (long i = 0; i < work.rows; i++) {
		const float *restrict x = work.x + i * work.classes;
		float *restrict grad = work.out + i * work.classes, g, a = work.alpha;
		long t = work.labels[i];
		for (long j = 0; j < work.classes; j++) {
			sigmoid_loss(x[j], 0, a, &g);
			grad[j] = g;
		}
		if (t < work.classes) {
			sigmoid_loss(x[t], 1, a, &g);
			grad[t] = g;
		}
	}
}

static const struct {
	const char *function;
	void (*run)(void);
} table[] = {
	{"Softmax", Softmax},
	{"LogSoftmax", LogSoftmax},
	{"LogSumExp", LogSumExp},
	{"LogProbs", LogProbs},
	{"SoftmaxLoss.Sum", SoftmaxLoss_Sum},
	{"SoftmaxLoss.Each", SoftmaxLoss_Each},
	{"SoftmaxLoss.Grad", SoftmaxLoss_Grad},
	{"OneVsRestLoss.Sum", OneVsRestLoss_Sum},
	{"OneVsRestLoss.Each", OneVsRestLoss_Each},
	{"OneVsRestLoss.Grad", OneVsRestLoss_Grad},
	{"SigmoidLoss.Sum", SigmoidLoss_Sum},
	{"SigmoidLoss.Each", SigmoidLoss_Each},
	{"SigmoidLoss.Grad", SigmoidLoss_Grad},
};

static void (*selected)(void);

static const char *version(void) { return "gcc " __VERSION__; }

static int prepare(void) {
	free(weights);
	weights = aligned(4 * work.classes);
	for (long j = 0; j < work.classes; j++) weights[j] = 1 - work.alpha;
	weights[0] = work.alpha;
	for (unsigned i = 0; i < sizeof table / sizeof *table; i++) {
		if (!strcmp(table[i].function, work.function)) {
			selected = table[i].run;
			work.outputs = work.n;
			if (strstr(work.function, ".Sum")) work.outputs = 1;
			else if (!strcmp(work.function, "LogSumExp") || !strcmp(work.function, "LogProbs")) work.outputs = work.rows;
			else if (strstr(work.function, ".Each") && strncmp(work.function, "Sigmoid", 7)) work.outputs = work.rows;
			return 1;
		}
	}
	return 0;
}

static void run(void) { selected(); }

static void command(const char *line) { exit(1); }

int main(void) {
	serve();
	return 0;
}
