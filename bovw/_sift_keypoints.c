/* The keypoints of a picture: extrema of the differences between levels. */

#include "_sift.h"

/* Extrema nearer to the edge are left out. */
#define BORDER 5
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

/* How many numbers the buffer of a picture must have. */
int64_t bovw_sift_room(int64_t height, int64_t width)
{
    octave_t octaves[MOST_OCTAVES];
    int64_t taken, blurred = bovw_row_room(width), searched = ROWS * (TILE + 2 * FREE);
    bovw_lay_out(height, width, 0, octaves, &taken);
    /* the first octave begins with a line of the cache, within 64 bytes */
    return 32 + taken + (blurred > searched ? blurred : searched);
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
        keypoint[2] = (float)(2 * SIGMA * exponential(LN2 * ((double)layer + os) / LAYERS) * unit);
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
    int64_t taken, count = bovw_lay_out(height, width, pyramid, octaves, &taken);
    int16_t *rows = pyramid + taken;
    found_t found = {octaves, contrast, room, 0, places, keypoints};
    void (*find_in)(found_t *, int64_t, int16_t *) = find_plain;
#ifdef X86
    if (__builtin_cpu_supports("avx2"))
        find_in = find_avx2;
#endif
    bovw_build(gray, height, width, octaves, count, rows);
    for (int64_t number = 0; number < count; number++)
        find_in(&found, number, rows);
    return found.count;
}
