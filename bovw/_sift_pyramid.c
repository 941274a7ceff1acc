/* The pyramid of a picture: Gaussian levels of octaves, each half as large as the one before. */

#include "_sift.h"

/* Shorter octaves hold no features. */
#define LEAST_SIDE 12
/* The blur that a picture is taken to have. */
#define CAMERA_SIGMA 0.5
/* A Gaussian is cut off after so many sigmas; no radius is larger. */
#define CUT 3.0
#define MOST_RADIUS 12
/* Pixels that are worked on together, and free ones on either side of a row. */
#define BLOCK 32
#define MARGIN 32
/* Bytes that the processor reads together. */
#define LINE 64

/* Numbers from a row to the next: never a power of two, since rows that are read together would
 * meet in the same lines of the cache. */
static int64_t stride_of(int64_t width) { return ((width + BLOCK - 1) / BLOCK | 1) * BLOCK; }

int64_t bovw_lay_out(
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
        octave->stride = stride_of(width);
        octave->levels = buffer ? buffer + *taken : 0;
        *taken += LEVELS * height * octave->stride;
    }
    return count;
}

int64_t bovw_row_room(int64_t width) { return 2 * MARGIN + stride_of(2 * width); }

/* The weights of a Gaussian from its centre outwards, of 2^15 in all. */
static int64_t gaussian(double sigma, int16_t *weights)
{
    int64_t radius = (int64_t)ceil(CUT * sigma), rest = 1 << 15;
    double sum = 1;
    for (int64_t i = 1; i <= radius; i++)
        sum += 2 * exponential(-(double)(i * i) / (2 * sigma * sigma));
    for (int64_t i = 1; i <= radius; i++) {
        weights[i] = (int16_t)lrint(
            32768 * exponential(-(double)(i * i) / (2 * sigma * sigma)) / sum);
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

void bovw_build(
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
            double last = SIGMA * exponential(LN2 * (double)(level - 1) / LAYERS);
            double sigma = last * sqrt(exponential(LN2 * 2 / LAYERS) - 1);
            blur(octaves + o, level_of(octaves + o, level - 1), sigma, weigh, row,
                 level_of(octaves + o, level));
        }
    }
}
