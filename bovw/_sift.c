/* SIFT (Lowe, IJCV 2004) on whole numbers: bovw/features/sift.py says what it does. The pyramid is
 * of 16-bit integers, which add up to the same in any order, and the rest is done number by number,
 * so every processor gives the same features. */

#include <math.h>
#include <stdint.h>
#include <string.h>

/* PLAIN leaves out what other processors lack: for the tests. */
#if defined(__x86_64__) && defined(__GNUC__) && !defined(PLAIN)
#include <immintrin.h>
#define X86 1
#endif
#if defined(__GNUC__)
#define INLINE static inline __attribute__((always_inline))
#else
#define INLINE static inline
#endif

/* Layers of an octave in which extrema are looked for, levels that this takes, and differences. */
#define LAYERS 3
#define LEVELS (LAYERS + 3)
#define DIFFERENCES (LEVELS - 1)
#define MOST_OCTAVES 16
/* Shorter octaves hold no features: they end within BORDER pixels of the edge. */
#define LEAST_SIDE 12
#define BORDER 5
/* Steps of a grey value, and the one that is 0: two pixels add up to less than 2^15. */
#define UNIT 128
#define MIDDLE 128
/* The blur of the first level of each octave, and the one that a picture is taken to have. */
#define SIGMA 1.6
#define CAMERA_SIGMA 0.5
/* A Gaussian is cut off after so many sigmas; this is the radius of the widest one. */
#define CUT 3.0
#define MOST_RADIUS 12
/* Pixels that are worked on together, and free ones on either side of a row. */
#define BLOCK 32
#define MARGIN 32
/* Bytes that the processor reads together. */
#define LINE 64
/* Extrema are looked for in so many columns at a time, in rows with free numbers on either side:
 * for each difference three rows of it, three of the highest and of the lowest of neighbours, and
 * the highest and lowest of three such rows; and the marks. */
#define TILE 2048
#define FREE 32
#define ROWS (11 * DIFFERENCES + 1)
/* Steps to a sample next to it before an extremum is given up. */
#define STEPS 5
/* The largest ratio of the curvatures of an extremum: larger ones are edges. */
#define EDGE 10.0
/* Directions of the histogram that orients a patch, its blur in scales, its reach in blurs, and
 * the share of the highest peak that makes another one an orientation too. */
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
/* Every so many pixels of a row or column count for a descriptor: levels are so smooth that the
 * others say the same. */
#define STEP 2
#define LENGTH 512.0

#define PI 3.14159265358979323846

typedef struct {
    int64_t height, width, stride;
    int16_t *levels;
} octave_t;

/* The octaves of a picture one after another in a buffer, which take so much of it; returns how
 * many. */
static int64_t lay_out(
    int64_t height, int64_t width, int16_t *buffer, octave_t *octaves, int64_t *taken)
{
    int64_t count = 0;
    *taken = (int64_t)(-(uintptr_t)buffer % LINE / sizeof *buffer);
    for (height *= 2, width *= 2;
         count < MOST_OCTAVES && height >= LEAST_SIDE && width >= LEAST_SIDE;
         height /= 2, width /= 2) {
        octave_t *octave = octaves + count++;
        octave->height = height;
        octave->width = width;
        /* never a power of two: rows that are read together would meet in the same cache lines */
        octave->stride = ((width + BLOCK - 1) / BLOCK | 1) * BLOCK;
        octave->levels = buffer ? buffer + *taken : 0;
        *taken += LEVELS * height * octave->stride;
    }
    return count;
}

static int16_t *level_of(const octave_t *octave, int64_t level)
{
    return octave->levels + level * octave->height * octave->stride;
}

/* How many numbers the buffer must have. */
int64_t bovw_sift_room(int64_t height, int64_t width)
{
    octave_t octaves[MOST_OCTAVES];
    int64_t taken;
    lay_out(height, width, 0, octaves, &taken);
    int64_t blurred = 2 * MARGIN + octaves->stride, searched = ROWS * (TILE + 2 * FREE);
    return LINE / 2 + taken + (blurred > searched ? blurred : searched);
}

/* The weights of a Gaussian from its centre outwards, of 2^15 in all. */
static int64_t gaussian(double sigma, int16_t *weights)
{
    int64_t radius = (int64_t)ceil(CUT * sigma), rest = 1 << 15;
    double sum = 1;
    for (int64_t i = 1; i <= radius; i++)
        sum += 2 * exp(-(double)(i * i) / (2 * sigma * sigma));
    for (int64_t i = 1; i <= radius; i++) {
        weights[i] = (int16_t)lrint(
            32768 * exp(-(double)(i * i) / (2 * sigma * sigma)) / sum);
        rest -= 2 * weights[i];
    }
    weights[0] = (int16_t)rest;
    return radius;
}

/* A row as the weighted sum of the rows before[i] and after[i], the first of which is the middle
 * one; rounded once, since noise would make extrema of its own. */
static void weigh_plain(
    const int16_t *const *before, const int16_t *const *after, const int16_t *weights,
    int64_t radius, int64_t count, int16_t *sums)
{
    for (int64_t first = 0; first < count; first += BLOCK) {
        int32_t block[BLOCK];
        for (int64_t x = 0; x < BLOCK; x++)
            block[x] = before[0][first + x] * weights[0] + (1 << 14);
        for (int64_t i = 1; i <= radius; i++)
            for (int64_t x = 0; x < BLOCK; x++)
                block[x] += (before[i][first + x] + after[i][first + x]) * weights[i];
        for (int64_t x = 0; x < BLOCK; x++)
            sums[first + x] = (int16_t)(block[x] >> 15);
    }
}

#ifdef X86
/* Two weights at a time, and an odd one with 0. */
__attribute__((target("avx2"))) static void weigh_avx2(
    const int16_t *const *before, const int16_t *const *after, const int16_t *weights,
    int64_t radius, int64_t count, int16_t *sums)
{
    const __m256i half = _mm256_set1_epi32(1 << 14);
    __m256i pairs[MOST_RADIUS / 2 + 1];
    for (int64_t i = 0; i <= radius; i += 2) {
        int next = i < radius ? weights[i + 1] : 0;
        pairs[i / 2] = _mm256_set1_epi32((int)((uint32_t)next << 16 | (uint16_t)weights[i]));
    }
#define ROW(rows, i) _mm256_loadu_si256((const __m256i *)((rows)[i] + x))
    for (int64_t x = 0; x < count; x += BLOCK / 2) {
        __m256i one = ROW(before, 0), other = _mm256_setzero_si256();
        if (radius)
            other = _mm256_add_epi16(ROW(before, 1), ROW(after, 1));
        __m256i low = _mm256_add_epi32(
            half, _mm256_madd_epi16(_mm256_unpacklo_epi16(one, other), pairs[0]));
        __m256i high = _mm256_add_epi32(
            half, _mm256_madd_epi16(_mm256_unpackhi_epi16(one, other), pairs[0]));
        for (int64_t i = 2; i <= radius; i += 2) {
            one = _mm256_add_epi16(ROW(before, i), ROW(after, i));
            if (i < radius)
                other = _mm256_add_epi16(ROW(before, i + 1), ROW(after, i + 1));
            low = _mm256_add_epi32(
                low, _mm256_madd_epi16(_mm256_unpacklo_epi16(one, other), pairs[i / 2]));
            high = _mm256_add_epi32(
                high, _mm256_madd_epi16(_mm256_unpackhi_epi16(one, other), pairs[i / 2]));
        }
        _mm256_storeu_si256(
            (__m256i *)(sums + x),
            _mm256_packs_epi32(_mm256_srai_epi32(low, 15), _mm256_srai_epi32(high, 15)));
    }
}
#endif

typedef void weigh_t(
    const int16_t *const *, const int16_t *const *, const int16_t *, int64_t, int64_t, int16_t *);

/* A place in a row that goes on beyond its ends as in a mirror at the centre of its last pixels. */
static int64_t reflected(int64_t place, int64_t length)
{
    if (place < 0)
        return -place;
    return place < length ? place : 2 * length - 2 - place;
}

static void blur(
    const octave_t *octave, const int16_t *from, double sigma, weigh_t *weigh, int16_t *row,
    int16_t *to)
{
    int16_t weights[MOST_RADIUS + 1];
    const int16_t *before[MOST_RADIUS + 1], *after[MOST_RADIUS + 1];
    int64_t radius = gaussian(sigma, weights);
    int16_t *middle = row + MARGIN;
    for (int64_t y = 0; y < octave->height; y++) {
        for (int64_t i = 0; i <= radius; i++) {
            before[i] = from + reflected(y - i, octave->height) * octave->stride;
            after[i] = from + reflected(y + i, octave->height) * octave->stride;
        }
        weigh(before, after, weights, radius, octave->stride, middle);
        for (int64_t i = 1; i <= radius; i++) {
            middle[-i] = middle[i];
            middle[octave->width - 1 + i] = middle[octave->width - 1 - i];
        }
        for (int64_t i = 0; i <= radius; i++) {
            before[i] = middle - i;
            after[i] = middle + i;
        }
        weigh(before, after, weights, radius, octave->stride, to + y * octave->stride);
    }
}

/* The picture in double size: each pixel stays, and means come between. */
static void enlarge(
    const uint8_t *gray, int64_t height, int64_t width, const octave_t *octave, int16_t *to)
{
    for (int64_t y = 0; y < 2 * height; y++) {
        const uint8_t *upper = gray + y / 2 * width;
        const uint8_t *lower = y + 1 < 2 * height ? gray + (y + 1) / 2 * width : upper;
        int16_t *row = to + y * octave->stride;
        for (int64_t x = 0; x < width; x++) {
            int64_t next = x + 1 < width ? x + 1 : x;
            row[2 * x] = (int16_t)((upper[x] + lower[x] - 2 * MIDDLE) * (UNIT / 2));
            int four = upper[x] + lower[x] + upper[next] + lower[next];
            row[2 * x + 1] = (int16_t)((four - 4 * MIDDLE) * (UNIT / 4));
        }
        for (int64_t x = 2 * width; x < octave->stride; x++)
            row[x] = 0;
    }
}

static void halve(const octave_t *larger, const octave_t *smaller)
{
    const int16_t *from = level_of(larger, LAYERS);
    for (int64_t y = 0; y < smaller->height; y++)
        for (int64_t x = 0; x < smaller->stride; x++)
            smaller->levels[y * smaller->stride + x] =
                x < smaller->width ? from[2 * y * larger->stride + 2 * x] : 0;
}

static void build(
    const uint8_t *gray, int64_t height, int64_t width, const octave_t *octaves, int64_t count,
    int16_t *row)
{
    weigh_t *weigh = weigh_plain;
#ifdef X86
    if (__builtin_cpu_supports("avx2"))
        weigh = weigh_avx2;
#endif
    /* the second level is free until the first one is there */
    enlarge(gray, height, width, octaves, level_of(octaves, 1));
    blur(octaves, level_of(octaves, 1), sqrt(SIGMA * SIGMA - 4 * CAMERA_SIGMA * CAMERA_SIGMA),
         weigh, row, octaves->levels);
    for (int64_t o = 0; o < count; o++) {
        if (o)
            halve(octaves + o - 1, octaves + o);
        for (int64_t level = 1; level < LEVELS; level++) {
            double last = SIGMA * pow(2, (double)(level - 1) / LAYERS);
            double sigma = last * sqrt(pow(2, 2.0 / LAYERS) - 1);
            blur(octaves + o, level_of(octaves + o, level - 1), sigma, weigh, row,
                 level_of(octaves + o, level));
        }
    }
}

#define MOST(a, b) ((a) > (b) ? (a) : (b))
#define LEAST(a, b) ((a) < (b) ? (a) : (b))

/* A row of the difference of two levels, and the largest and the least of each three of it beside
 * one another. */
INLINE void subtract(
    const int16_t *restrict lower, const int16_t *restrict upper, int64_t count,
    int16_t *restrict row, int16_t *restrict high, int16_t *restrict low)
{
    for (int64_t x = 0; x < count; x++)
        row[x] = (int16_t)(upper[x] - lower[x]);
    for (int64_t x = 0; x < count; x++) {
        int16_t most = MOST(row[x - 1], row[x + 1]), least = LEAST(row[x - 1], row[x + 1]);
        high[x] = MOST(most, row[x]);
        low[x] = LEAST(least, row[x]);
    }
}

/* The most of three rows, number by number, and the least of three others. */
INLINE void most_and_least(
    int16_t *const *high, int16_t *const *low, int64_t count, int16_t *restrict most,
    int16_t *restrict least)
{
    const int16_t *a = high[0], *b = high[1], *c = high[2];
    const int16_t *d = low[0], *e = low[1], *f = low[2];
    for (int64_t x = 0; x < count; x++) {
        int16_t one = MOST(a[x], b[x]), other = LEAST(d[x], e[x]);
        most[x] = MOST(one, c[x]);
        least[x] = LEAST(other, f[x]);
    }
}

/* Which pixels of a row are at least as high as those of three others and a threshold, or as low
 * as those of three more and the negative threshold. */
INLINE void mark(
    const int16_t *row, int16_t *const *high, int16_t *const *low, int16_t threshold,
    int64_t count, int16_t *restrict marks)
{
    const int16_t *a = high[0], *b = high[1], *c = high[2];
    const int16_t *d = low[0], *e = low[1], *f = low[2];
    const int16_t bottom = (int16_t)-threshold;
    for (int64_t x = 0; x < count; x++) {
        int16_t most = MOST(a[x], b[x]), least = LEAST(d[x], e[x]);
        int16_t most_of_all = MOST(c[x], threshold), least_of_all = LEAST(f[x], bottom);
        most = MOST(most, most_of_all);
        least = LEAST(least, least_of_all);
        marks[x] = (int16_t)((row[x] >= most) | (row[x] <= least));
    }
}

typedef struct {
    const octave_t *octaves;
    double contrast;
    int64_t room, count;
    int32_t *places;
    float *keypoints;
} found_t;

static double difference(const octave_t *octave, int64_t layer, int64_t y, int64_t x)
{
    const int16_t *at = level_of(octave, layer) + y * octave->stride + x;
    return at[octave->height * octave->stride] - at[0];
}

/* Where between the samples an extremum is (Brown and Lowe, BMVC 2002); nothing if it runs away, is
 * weak or lies on an edge. */
static void refine(found_t *found, int64_t number, int64_t layer, int64_t y, int64_t x)
{
    const octave_t *octave = found->octaves + number;
    double dx, dy, ds, dxx, dyy, dxy, ox = 0, oy = 0, os = 0;
    for (int64_t step = 0;; step++) {
#define D(l, j, i) difference(octave, layer + (l), y + (j), x + (i))
        double centre = D(0, 0, 0), dss, dxs, dys, det;
        dx = (D(0, 0, 1) - D(0, 0, -1)) / 2;
        dy = (D(0, 1, 0) - D(0, -1, 0)) / 2;
        ds = (D(1, 0, 0) - D(-1, 0, 0)) / 2;
        dxx = D(0, 0, 1) + D(0, 0, -1) - 2 * centre;
        dyy = D(0, 1, 0) + D(0, -1, 0) - 2 * centre;
        dss = D(1, 0, 0) + D(-1, 0, 0) - 2 * centre;
        dxy = (D(0, 1, 1) - D(0, 1, -1) - D(0, -1, 1) + D(0, -1, -1)) / 4;
        dxs = (D(1, 0, 1) - D(1, 0, -1) - D(-1, 0, 1) + D(-1, 0, -1)) / 4;
        dys = (D(1, 1, 0) - D(1, -1, 0) - D(-1, 1, 0) + D(-1, -1, 0)) / 4;
        double a = dyy * dss - dys * dys, b = dys * dxs - dxy * dss, c = dxy * dys - dyy * dxs;
        det = dxx * a + dxy * b + dxs * c;
        if (det == 0)
            return;
        ox = -(a * dx + b * dy + c * ds) / det;
        oy = -(b * dx + (dxx * dss - dxs * dxs) * dy + (dxy * dxs - dxx * dys) * ds) / det;
        os = -(c * dx + (dxy * dxs - dxx * dys) * dy + (dxx * dyy - dxy * dxy) * ds) / det;
        if (fabs(ox) < 0.5 && fabs(oy) < 0.5 && fabs(os) < 0.5)
            break;
        if (step + 1 == STEPS || fabs(ox) > octave->width || fabs(oy) > octave->height
            || fabs(os) > LAYERS)
            return;
        x += lrint(ox);
        y += lrint(oy);
        layer += lrint(os);
        if (layer < 1 || layer > LAYERS || x < BORDER || x >= octave->width - BORDER || y < BORDER
            || y >= octave->height - BORDER)
            return;
    }
    double value = D(0, 0, 0) + (dx * ox + dy * oy + ds * os) / 2;
    double response = fabs(value) / (255.0 * UNIT);
    double trace = dxx + dyy, det = dxx * dyy - dxy * dxy;
    if (response * LAYERS < found->contrast || det <= 0
        || trace * trace * EDGE >= (EDGE + 1) * (EDGE + 1) * det)
        return;
    if (found->count < found->room) {
        /* the first octave is of double size */
        double unit = ldexp(0.5, (int)number);
        int32_t *place = found->places + 4 * found->count;
        float *keypoint = found->keypoints + 4 * found->count;
        place[0] = (int32_t)number;
        place[1] = (int32_t)layer;
        place[2] = (int32_t)y;
        place[3] = (int32_t)x;
        keypoint[0] = (float)(((double)x + ox) * unit);
        keypoint[1] = (float)(((double)y + oy) * unit);
        keypoint[2] = (float)(2 * SIGMA * pow(2, ((double)layer + os) / LAYERS) * unit);
        keypoint[3] = (float)response;
    }
    found->count++;
}

INLINE void find(found_t *found, int64_t number, int16_t *rows)
{
    const octave_t *octave = found->octaves + number;
    int16_t threshold = (int16_t)(found->contrast / 2 / LAYERS * 255 * UNIT);
    int16_t *row[DIFFERENCES][3], *high[DIFFERENCES][3], *low[DIFFERENCES][3];
    int16_t *most[DIFFERENCES], *least[DIFFERENCES], *next = rows + FREE;
    for (int64_t l = 0; l < DIFFERENCES; l++) {
        for (int64_t r = 0; r < 3; r++) {
            row[l][r] = next;
            high[l][r] = next + (TILE + 2 * FREE);
            low[l][r] = next + 2 * (TILE + 2 * FREE);
            next += 3 * (TILE + 2 * FREE);
        }
        most[l] = next;
        least[l] = next + (TILE + 2 * FREE);
        next += 2 * (TILE + 2 * FREE);
    }
    int16_t *marks = next;
    memset(rows, 0, ROWS * (TILE + 2 * FREE) * sizeof *rows);
    /* neighbouring tiles share two columns */
    for (int64_t left = BORDER - 1; left < octave->width - BORDER; left += TILE - 2) {
        int64_t count = LEAST(octave->width - BORDER + 1 - left, TILE);
        for (int64_t y = BORDER - 1; y < octave->height - BORDER + 1; y++) {
            for (int64_t l = 0; l < DIFFERENCES; l++) {
                const int16_t *level = level_of(octave, l) + y * octave->stride + left;
                subtract(level, level + octave->height * octave->stride, count, row[l][y % 3],
                         high[l][y % 3], low[l][y % 3]);
                if (y > BORDER)
                    most_and_least(high[l], low[l], count, most[l], least[l]);
            }
            for (int64_t layer = 1; layer <= LAYERS && y > BORDER; layer++) {
                mark(row[layer][(y - 1) % 3], most + layer - 1, least + layer - 1, threshold,
                     count, marks);
                for (int64_t x = 0; x < count; x += 16) {
                    uint64_t four[4];
                    memcpy(four, marks + x, sizeof four);
                    if (!(four[0] | four[1] | four[2] | four[3]))
                        continue;
                    for (int64_t i = MOST(x, 1); i < LEAST(x + 16, count - 1); i++)
                        if (marks[i])
                            refine(found, number, layer, y - 1, left + i);
                }
            }
        }
    }
}

static void find_plain(found_t *found, int64_t number, int16_t *rows)
{
    find(found, number, rows);
}

#ifdef X86
__attribute__((target("avx2"))) static void find_avx2(
    found_t *found, int64_t number, int16_t *rows)
{
    find(found, number, rows);
}
#endif

int64_t bovw_sift_detect(
    const uint8_t *gray, int64_t height, int64_t width, double contrast, int64_t room,
    int16_t *pyramid, int32_t *places, float *keypoints)
{
    octave_t octaves[MOST_OCTAVES];
    int64_t taken, count = lay_out(height, width, pyramid, octaves, &taken);
    int16_t *rows = pyramid + taken;
    found_t found = {octaves, contrast, room, 0, places, keypoints};
    void (*find_in)(found_t *, int64_t, int16_t *) = find_plain;
#ifdef X86
    if (__builtin_cpu_supports("avx2"))
        find_in = find_avx2;
#endif
    build(gray, height, width, octaves, count, rows);
    for (int64_t number = 0; number < count; number++)
        find_in(&found, number, rows);
    return found.count;
}

/* The gradients of a level at some places of a row: their lengths times weights, and their
 * directions in turns from 0 to 1, clockwise from the x axis as y points down. */
#define MOST_SAMPLES 256

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
    int64_t peaks = 0, first = x - reach, count = 2 * reach + 1;
    if (first < 1) {
        count -= 1 - first;
        first = 1;
    }
    if (first + count > octave->width - 1)
        count = octave->width - 1 - first;
    for (int64_t i = 0; i < count; i++) {
        double off = (double)(first + i - x);
        across[i] = (float)exp(fall * off * off);
    }
    for (int64_t j = y - reach; j <= y + reach; j++) {
        if (j < 1 || j > octave->height - 2)
            continue;
        float weight = (float)exp(fall * (double)((j - y) * (j - y)));
        for (int64_t i = 0; i < count; i++)
            weights[i] = across[i] * weight;
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

/* The descriptor of a patch at (x, y) of a level, from every STEP-th pixel. */
INLINE void describe(
    const octave_t *octave, const int16_t *level, double x, double y, double scale, double turn,
    uint8_t *descriptor)
{
    const double half = (CELLS + 1) / 2.0;
    float cells[CELLS + 2][CELLS + 2][BINS + 1];
    float across_weights[MOST_SAMPLES], weights[MOST_SAMPLES];
    float lengths[MOST_SAMPLES], angles[MOST_SAMPLES];
    double side = CELL_SIDE * scale, reach = side * sqrt(2) * half;
    double along = cos(2 * PI * turn) / side, across = sin(2 * PI * turn) / side;
    /* Gaussian of half the descriptor's width */
    double fall = -2 / (CELLS * CELLS * side * side);
    int64_t steps = (int64_t)(reach / STEP), left = lrint(x) - steps * STEP;
    memset(cells, 0, sizeof cells);
    for (int64_t i = 0; i <= 2 * steps; i++) {
        double dx = (double)(left + i * STEP) - x;
        across_weights[i] = (float)exp(fall * dx * dx);
    }
    for (int64_t j = lrint(y) - steps * STEP; j <= lrint(y) + steps * STEP; j += STEP) {
        if (j < 1 || j > octave->height - 2)
            continue;
        double dy = (double)j - y;
        float weight = (float)exp(fall * dy * dy);
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
            weights[i] = across_weights[from + i] * weight;
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
    lay_out(height, width, pyramid, octaves, &taken);
#ifdef X86
    if (__builtin_cpu_supports("avx2"))
        return describe_avx2(&all);
#endif
    return describe_plain(&all);
}
