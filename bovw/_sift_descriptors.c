/* The orientations and descriptors of keypoints. */

#include "_sift.h"

/* Directions of the histogram that orients a patch, its blur in scales, its reach in blurs, and
 * the share of the highest peak that makes another one an orientation too; no keypoint has more. */
#define DIRECTIONS 36
#define TURN_SIGMA 1.5
#define TURN_REACH 3.0
#define PEAK 0.8
#define MOST_PEAKS 4
/* The descriptor: its cells a side, their side in scales, its directions, and the most that one
 * direction may have of its length. */
#define CELLS 4
#define CELL_SIDE 3.0
#define BINS 8
#define MOST_SHARE 0.2
#define LENGTH 512.0
/* Every so many pixels of a row or column count for a descriptor: levels are so smooth that the
 * others say the same. */
#define STEP 2
/* Samples of a row of the largest patch, and more. */
#define MOST_SAMPLES 256
#define PI 3.14159265358979323846

/* e^(fall (first + i step)^2) for i = 0 .. count - 1. */
INLINE void bell(double fall, double first, double step, int64_t count, float *weights)
{
    double value = exponential(fall * first * first);
    double ratio = exponential(fall * step * (2 * first + step));
    double change = exponential(2 * fall * step * step);
    for (int64_t i = 0; i < count; i++) {
        weights[i] = (float)value;
        value *= ratio;
        ratio *= change;
    }
}

/* The gradients of a level at some places of a row: their lengths times weights, and their
 * directions in turns from 0 to 1, clockwise from the x axis as y points down. */
INLINE void gradients(
    const octave_t *octave, const int16_t *row, int64_t first, int64_t step, int64_t count,
    const float *weights, float *restrict lengths, float *restrict turns)
{
    float dx[MOST_SAMPLES], dy[MOST_SAMPLES];
    for (int64_t i = 0; i < count; i++) {
        const int16_t *at = row + first + i * step;
        dx[i] = (float)(at[1] - at[-1]);
        dy[i] = (float)(at[octave->stride] - at[-octave->stride]);
    }
    for (int64_t i = 0; i < count; i++) {
        /* Abramowitz and Stegun 4.4.49, over 2 pi: off by less than 2e-6 turns */
        float ax = fabsf(dx[i]), ay = fabsf(dy[i]);
        float most = ax > ay ? ax : ay, least = ax > ay ? ay : ax;
        float q = least / (most + 1e-12f), s = q * q;
        float turn = q
                     * (0.15913367f
                        + s
                              * (-0.05256860f
                                 + s * (0.02867033f + s * (-0.01354933f + s * 0.00331601f))));
        turn = ay > ax ? 0.25f - turn : turn;
        turn = dx[i] < 0 ? 0.5f - turn : turn;
        turns[i] = dy[i] < 0 ? 1 - turn : turn;
        lengths[i] = sqrtf(dx[i] * dx[i] + dy[i] * dy[i]) * weights[i];
    }
}

/* The orientations of a patch, in turns: returns how many. */
INLINE int64_t orient(
    const octave_t *octave, const int16_t *level, int64_t y, int64_t x, double scale, double *turns)
{
    double sigma = TURN_SIGMA * scale, fall = -1 / (2 * sigma * sigma);
    int64_t reach = lrint(TURN_REACH * sigma);
    float across[MOST_SAMPLES], weights[MOST_SAMPLES], lengths[MOST_SAMPLES], angles[MOST_SAMPLES];
    float counts[DIRECTIONS] = {0};
    double smooth[DIRECTIONS];
    int64_t peaks = 0, first = x - reach > 1 ? x - reach : 1;
    int64_t last = x + reach < octave->width - 2 ? x + reach : octave->width - 2;
    int64_t count = last - first + 1;
    bell(fall, (double)-reach, 1, 2 * reach + 1, across);
    for (int64_t j = y - reach; j <= y + reach; j++) {
        if (j < 1 || j > octave->height - 2)
            continue;
        for (int64_t i = 0; i < count; i++)
            weights[i] = across[first - x + reach + i] * across[j - y + reach];
        gradients(octave, level + j * octave->stride, first, 1, count, weights, lengths, angles);
        for (int64_t i = 0; i < count; i++) {
            int bin = (int)(angles[i] * DIRECTIONS + 0.5f);
            counts[bin < DIRECTIONS ? bin : 0] += lengths[i];
        }
    }
    double most = 0;
#define AT(k) counts[((k) + DIRECTIONS) % DIRECTIONS]
    for (int64_t k = 0; k < DIRECTIONS; k++) {
        smooth[k] = (AT(k - 2) + AT(k + 2)) / 16.0 + (AT(k - 1) + AT(k + 1)) / 4.0
                    + AT(k) * 6 / 16.0;
        most = smooth[k] > most ? smooth[k] : most;
    }
    for (int64_t k = 0; k < DIRECTIONS && peaks < MOST_PEAKS; k++) {
        double before = smooth[(k + DIRECTIONS - 1) % DIRECTIONS], at = smooth[k];
        double after = smooth[(k + 1) % DIRECTIONS];
        if (at > before && at > after && at >= PEAK * most) {
            double turn = ((double)k + (before - after) / 2 / (before - 2 * at + after))
                          / DIRECTIONS;
            turns[peaks++] = turn - floor(turn);
        }
    }
    return peaks;
}

/* Cosine and sine of an angle in turns from 0 to 1, by their series, as in `exponential`. */
INLINE void direction_of(double turn, double *cosine, double *sine)
{
    int64_t quarters = (int64_t)floor(4 * turn + 0.5);
    double rest = (turn - (double)quarters / 4) * 2 * PI, square = rest * rest;
    double even = 1, odd = 1;
    for (int i = 18; i > 0; i -= 2) {
        even = 1 - square / (i * (i - 1)) * even;
        odd = 1 - square / (i * (i + 1)) * odd;
    }
    odd *= rest;
    *cosine = quarters % 4 == 0 ? even : quarters % 4 == 1 ? -odd : quarters % 4 == 2 ? -even : odd;
    *sine = quarters % 4 == 0 ? odd : quarters % 4 == 1 ? even : quarters % 4 == 2 ? -odd : -even;
}

/* The descriptor of a patch at (x, y) of a level, from every STEP-th pixel. */
INLINE void describe(
    const octave_t *octave, const int16_t *level, double x, double y, double scale, double turn,
    uint8_t *descriptor)
{
    const double half = (CELLS + 1) / 2.0;
    float cells[CELLS + 2][CELLS + 2][BINS + 1];
    float across_weights[MOST_SAMPLES], down_weights[MOST_SAMPLES], weights[MOST_SAMPLES];
    float lengths[MOST_SAMPLES], angles[MOST_SAMPLES];
    double side = CELL_SIDE * scale, reach = side * sqrt(2) * half;
    double along, across;
    direction_of(turn, &along, &across);
    along /= side;
    across /= side;
    /* Gaussian of half the descriptor's width */
    double fall = -2 / (CELLS * CELLS * side * side);
    int64_t steps = (int64_t)(reach / STEP);
    int64_t left = lrint(x) - steps * STEP, top = lrint(y) - steps * STEP;
    memset(cells, 0, sizeof cells);
    bell(fall, (double)left - x, STEP, 2 * steps + 1, across_weights);
    bell(fall, (double)top - y, STEP, 2 * steps + 1, down_weights);
    for (int64_t number = 0; number <= 2 * steps; number++) {
        int64_t j = top + number * STEP;
        if (j < 1 || j > octave->height - 2)
            continue;
        double dy = (double)j - y;
        /* where in the row |column| and |row| are below half */
        double low = -reach, high = reach;
        if (fabs(along) * reach > 1e-6) {
            double one = (-half - across * dy) / along, other = (half - across * dy) / along;
            low = fmax(low, fmin(one, other));
            high = fmin(high, fmax(one, other));
        }
        if (fabs(across) * reach > 1e-6) {
            double one = (along * dy - half) / across, other = (along * dy + half) / across;
            low = fmax(low, fmin(one, other));
            high = fmin(high, fmax(one, other));
        }
        int64_t from = (int64_t)ceil((low + x - (double)left) / STEP);
        int64_t to = (int64_t)floor((high + x - (double)left) / STEP);
        int64_t inner = left < 1 ? (1 - left + STEP - 1) / STEP : 0;
        int64_t outer = (octave->width - 2 - left) / STEP;
        from = from > inner ? from : inner;
        to = to < outer ? to : outer;
        to = to < 2 * steps ? to : 2 * steps;
        int64_t count = to - from + 1;
        if (count < 1)
            continue;
        for (int64_t i = 0; i < count; i++)
            weights[i] = across_weights[from + i] * down_weights[number];
        gradients(octave, level + j * octave->stride, left + from * STEP, STEP, count, weights,
                  lengths, angles);
        float column = (float)(along * ((double)(left + from * STEP) - x) + across * dy + half);
        float row = (float)(along * dy - across * ((double)(left + from * STEP) - x) + half);
        for (int64_t i = 0; i < count; i++) {
            float at_column = column + (float)i * (float)(along * STEP);
            float at_row = row - (float)i * (float)(across * STEP);
            /* counter-clockwise from the patch's own direction */
            float bin = ((float)turn - angles[i]) * BINS;
            bin = bin < 0 ? bin + BINS : bin;
            int r = (int)at_row, c = (int)at_column, o = (int)bin;
            float below = at_row - (float)r, right = at_column - (float)c, next = bin - (float)o;
            if (below < 0 || right < 0 || r > CELLS || c > CELLS)
                continue;
            o = o < BINS ? o : 0;
            float lower = lengths[i] * below, upper = lengths[i] - lower;
            float lower_right = lower * right, lower_left = lower - lower_right;
            float upper_right = upper * right, upper_left = upper - upper_right;
            float *cell = cells[r][c] + o;
            cell[1] += upper_left * next;
            cell[0] += upper_left - upper_left * next;
            cell += BINS + 1;
            cell[1] += upper_right * next;
            cell[0] += upper_right - upper_right * next;
            cell += (CELLS + 1) * (BINS + 1);
            cell[1] += lower_left * next;
            cell[0] += lower_left - lower_left * next;
            cell += BINS + 1;
            cell[1] += lower_right * next;
            cell[0] += lower_right - lower_right * next;
        }
    }
    float values[CELLS * CELLS * BINS];
    double square = 0, clipped = 0;
    for (int64_t r = 0; r < CELLS; r++)
        for (int64_t c = 0; c < CELLS; c++) {
            float *cell = cells[r + 1][c + 1];
            cell[0] += cell[BINS];
            memcpy(values + (r * CELLS + c) * BINS, cell, BINS * sizeof *values);
        }
    for (int64_t i = 0; i < CELLS * CELLS * BINS; i++)
        square += (double)values[i] * values[i];
    float most = (float)(MOST_SHARE * sqrt(square));
    for (int64_t i = 0; i < CELLS * CELLS * BINS; i++) {
        values[i] = values[i] < most ? values[i] : most;
        clipped += (double)values[i] * values[i];
    }
    double factor = clipped > 0 ? LENGTH / sqrt(clipped) : 0;
    for (int64_t i = 0; i < CELLS * CELLS * BINS; i++) {
        double value = values[i] * factor + 0.5;
        descriptor[i] = value < 255 ? (uint8_t)value : 255;
    }
}

typedef struct {
    const octave_t *octaves;
    const int32_t *places;
    const float *keypoints;
    int64_t count;
    int32_t *numbers;
    float *turns;
    uint8_t *descriptors;
} described_t;

INLINE int64_t describe_all(const described_t *all)
{
    int64_t count = 0;
    for (int64_t n = 0; n < all->count; n++) {
        const int32_t *place = all->places + 4 * n;
        const float *keypoint = all->keypoints + 4 * n;
        const octave_t *octave = all->octaves + place[0];
        const int16_t *level = level_of(octave, place[1]);
        double unit = ldexp(2, -place[0]), turns[MOST_PEAKS];
        double scale = keypoint[2] * unit / 2;
        int64_t peaks = orient(octave, level, place[2], place[3], scale, turns);
        for (int64_t p = 0; p < peaks; p++, count++) {
            all->numbers[count] = (int32_t)n;
            all->turns[count] = (float)turns[p];
            describe(octave, level, keypoint[0] * unit, keypoint[1] * unit, scale, turns[p],
                     all->descriptors + count * CELLS * CELLS * BINS);
        }
    }
    return count;
}

static int64_t describe_plain(const described_t *all) { return describe_all(all); }

#ifdef X86
__attribute__((target("avx2"))) static int64_t describe_avx2(const described_t *all)
{
    return describe_all(all);
}
#endif

/* Room is needed for four features a keypoint. */
int64_t bovw_sift_describe(
    int64_t height, int64_t width, int16_t *pyramid, const int32_t *places, const float *keypoints,
    int64_t count, int32_t *numbers, float *turns, uint8_t *descriptors)
{
    octave_t octaves[MOST_OCTAVES];
    int64_t taken;
    described_t all = {octaves, places, keypoints, count, numbers, turns, descriptors};
    bovw_lay_out(height, width, pyramid, octaves, &taken);
#ifdef X86
    if (__builtin_cpu_supports("avx2"))
        return describe_avx2(&all);
#endif
    return describe_plain(&all);
}
