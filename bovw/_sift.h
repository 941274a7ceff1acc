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
/* Steps of a grey value, and the one that is 0: two pixels add up to less than 2^15. */
#define UNIT 128
#define MIDDLE 128
/* The blur of the first level of each octave. */
#define SIGMA 1.6

typedef struct {
    int64_t height, width, stride;
    int16_t *levels;
} octave_t;

#define LN2 0.69314718055994530942

/* e^x by its series, -700 < x < 700: the libraries of different systems differ in last bits. */
INLINE double exponential(double x)
{
    double whole = floor(x / LN2 + 0.5), rest = x - whole * LN2, sum = 1;
    for (int i = 13; i > 0; i--)
        sum = 1 + rest / i * sum;
    return ldexp(sum, (int)whole);
}

static inline int16_t *level_of(const octave_t *octave, int64_t level)
{
    return octave->levels + level * octave->height * octave->stride;
}

/* The octaves of a picture one after another in a buffer, from a line of the cache on; returns how
 * many. `taken` is what they take of it. */
int64_t bovw_lay_out(
    int64_t height, int64_t width, int16_t *buffer, octave_t *octaves, int64_t *taken);

/* Fill them. `row` is room for one, of as many numbers as bovw_row_room says. */
void bovw_build(
    const uint8_t *gray, int64_t height, int64_t width, const octave_t *octaves, int64_t count,
    int16_t *row);
int64_t bovw_row_room(int64_t width);
