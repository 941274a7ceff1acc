/* The innermost loops of a search, on whole numbers: bovw/kernel.py says what they do, and what
 * stands in for them where this file was not compiled gives the same results to the bit. */

#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* PLAIN leaves out what other processors lack: for the tests. */
#if defined(__x86_64__) && defined(__GNUC__) && !defined(PLAIN)
#include <immintrin.h>
#define X86 1
#endif

/* Words that lie side by side, and points that share what is read of them. */
#define WORDS 8
#define POINTS 4
#define NARROW_WORDS 16
#define NARROW_POINTS 8
#define SIGNATURE_BITS 64
/* So many lists before its turn, the memory is asked for a list. */
#define AHEAD 8
/* Ranges that lie no farther apart than so many bytes are asked for together. */
#define GAP 32768
/* Pages that tell whether the others are in memory. */
#define SAMPLED 32
/* Matches that are looked at together. */
#define CHUNK 256

int64_t bovw_kernel_version(void) { return 3; }

/* The `count` best words of a point, best first; ties stay with the word that came first. */
static void offer(int32_t closeness, int32_t word, int64_t count, int32_t *best, int32_t *found)
{
    int64_t place = count - 1;
    if (closeness <= best[place])
        return;
    for (; place > 0 && closeness > best[place - 1]; place--) {
        best[place] = best[place - 1];
        found[place] = found[place - 1];
    }
    best[place] = closeness;
    found[place] = word;
}

/* The visitors of one cell. Words of 16 bits are laid out as [words / 8][dimension / 2][8][2];
 * those of 8 bits, narrow ones, as [words / 16][dimension / 4][16][4]: points are less by 128 then,
 * and `sums` are those of the numbers of the words. */
typedef struct {
    const void *points, *words;
    const int32_t *norms, *sums, *visitors;
    int64_t dimension, visitor_count, word_count, first_word, count;
    int32_t factor, *best, *found;
} cell_t;

static void visit_plain(const cell_t *cell)
{
    for (int64_t v = 0; v < cell->visitor_count; v++) {
        const int16_t *point =
            (const int16_t *)cell->points + cell->visitors[v] * cell->dimension;
        int32_t *best = cell->best + cell->visitors[v] * cell->count;
        int32_t *found = cell->found + cell->visitors[v] * cell->count;
        for (int64_t word = 0; word < cell->word_count; word += WORDS) {
            const int16_t *block = (const int16_t *)cell->words + word * cell->dimension;
            int32_t sums[WORDS] = {0};
            for (int64_t i = 0; i < cell->dimension; i += 2)
                for (int64_t w = 0; w < WORDS; w++)
                    sums[w] += point[i] * block[i * WORDS + 2 * w]
                               + point[i + 1] * block[i * WORDS + 2 * w + 1];
            for (int64_t w = 0; w < WORDS && word + w < cell->word_count; w++)
                offer(cell->factor * sums[w] - cell->norms[word + w],
                      (int32_t)(cell->first_word + word + w), cell->count, best, found);
        }
    }
}

#ifdef X86
__attribute__((target("avx2"))) static void visit_avx2(const cell_t *cell)
{
    const __m256i factor = _mm256_set1_epi32(cell->factor);
    for (int64_t v = 0; v < cell->visitor_count; v += POINTS) {
        int64_t together = cell->visitor_count - v < POINTS ? cell->visitor_count - v : POINTS;
        const int16_t *point[POINTS];
        for (int64_t p = 0; p < POINTS; p++)
            point[p] = (const int16_t *)cell->points
                       + cell->visitors[v + (p < together ? p : 0)] * cell->dimension;
        for (int64_t word = 0; word < cell->word_count; word += WORDS) {
            const int16_t *block = (const int16_t *)cell->words + word * cell->dimension;
            __m256i sums[POINTS];
            for (int64_t p = 0; p < POINTS; p++)
                sums[p] = _mm256_setzero_si256();
            for (int64_t i = 0; i < cell->dimension; i += 2) {
                __m256i pairs = _mm256_loadu_si256((const __m256i *)(block + i * WORDS));
                for (int64_t p = 0; p < POINTS; p++) {
                    int32_t two;
                    memcpy(&two, point[p] + i, 4);
                    sums[p] = _mm256_add_epi32(
                        sums[p], _mm256_madd_epi16(_mm256_set1_epi32(two), pairs));
                }
            }
            for (int64_t p = 0; p < together; p++) {
                int32_t *best = cell->best + cell->visitors[v + p] * cell->count;
                int32_t *found = cell->found + cell->visitors[v + p] * cell->count;
                int32_t values[WORDS];
                __m256i norms = _mm256_loadu_si256((const __m256i *)(cell->norms + word));
                __m256i close = _mm256_sub_epi32(_mm256_mullo_epi32(sums[p], factor), norms);
                __m256i least = _mm256_set1_epi32(best[cell->count - 1]);
                int better = _mm256_movemask_ps(
                    _mm256_castsi256_ps(_mm256_cmpgt_epi32(close, least)));
                if (!better)
                    continue;
                _mm256_storeu_si256((__m256i *)values, close);
                for (int64_t w = 0; w < WORDS && word + w < cell->word_count; w++)
                    offer(values[w], (int32_t)(cell->first_word + word + w), cell->count, best,
                          found);
            }
        }
    }
}
#endif

static void visit_narrow_plain(const cell_t *cell)
{
    for (int64_t v = 0; v < cell->visitor_count; v++) {
        const int8_t *point = (const int8_t *)cell->points + cell->visitors[v] * cell->dimension;
        int32_t *best = cell->best + cell->visitors[v] * cell->count;
        int32_t *found = cell->found + cell->visitors[v] * cell->count;
        for (int64_t word = 0; word < cell->word_count; word++) {
            const uint8_t *first = (const uint8_t *)cell->words
                                   + word / NARROW_WORDS * NARROW_WORDS * cell->dimension
                                   + word % NARROW_WORDS * 4;
            int32_t sum = 128 * cell->sums[word];
            for (int64_t i = 0; i < cell->dimension; i++)
                sum += point[i] * first[i / 4 * 4 * NARROW_WORDS + i % 4];
            offer(cell->factor * sum - cell->norms[word], (int32_t)(cell->first_word + word),
                  cell->count, best, found);
        }
    }
}

#ifdef X86
__attribute__((target("avx512f,avx512bw,avx512vnni"))) static void visit_narrow_vnni(
    const cell_t *cell)
{
    const __m512i factor = _mm512_set1_epi32(cell->factor);
    for (int64_t v = 0; v < cell->visitor_count; v += NARROW_POINTS) {
        int64_t rest = cell->visitor_count - v;
        int64_t together = rest < NARROW_POINTS ? rest : NARROW_POINTS;
        const int8_t *point[NARROW_POINTS];
        for (int64_t p = 0; p < NARROW_POINTS; p++)
            point[p] = (const int8_t *)cell->points
                       + cell->visitors[v + (p < together ? p : 0)] * cell->dimension;
        for (int64_t word = 0; word < cell->word_count; word += NARROW_WORDS) {
            const uint8_t *block = (const uint8_t *)cell->words + word * cell->dimension;
            __m512i all = _mm512_loadu_si512(cell->sums + word);
            __m512i norms = _mm512_loadu_si512(cell->norms + word);
            __m512i sums[NARROW_POINTS];
            for (int64_t p = 0; p < NARROW_POINTS; p++)
                sums[p] = _mm512_slli_epi32(all, 7);
            for (int64_t i = 0; i < cell->dimension; i += 4) {
                __m512i fours = _mm512_loadu_si512(block + i * NARROW_WORDS);
                for (int64_t p = 0; p < NARROW_POINTS; p++) {
                    int32_t four;
                    memcpy(&four, point[p] + i, 4);
                    sums[p] = _mm512_dpbusd_epi32(sums[p], fours, _mm512_set1_epi32(four));
                }
            }
            for (int64_t p = 0; p < together; p++) {
                int32_t *best = cell->best + cell->visitors[v + p] * cell->count;
                int32_t *found = cell->found + cell->visitors[v + p] * cell->count;
                int32_t values[NARROW_WORDS];
                __m512i close =
                    _mm512_sub_epi32(_mm512_mullo_epi32(sums[p], factor), norms);
                __m512i least = _mm512_set1_epi32(best[cell->count - 1]);
                unsigned better = _mm512_cmpgt_epi32_mask(close, least);
                if (!better)
                    continue;
                _mm512_storeu_si512(values, close);
                for (; better; better &= better - 1) {
                    int64_t w = __builtin_ctz(better);
                    if (word + w < cell->word_count)
                        offer(values[w], (int32_t)(cell->first_word + word + w), cell->count, best,
                              found);
                }
            }
        }
    }
}
#endif

/* Whether narrow words are looked at faster here. */
int64_t bovw_likes_narrow_words(void)
{
#ifdef X86
    return __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vnni");
#else
    return 0;
#endif
}

void bovw_nearest_words(
    const void *points, int64_t dimension, const void *words, int64_t narrow, const int32_t *norms,
    const int32_t *sums, int32_t factor, const int64_t *blocks, const int64_t *first_words,
    int64_t cells, const int32_t *visitors, const int64_t *bounds, int64_t count, int32_t *best,
    int32_t *found)
{
    void (*visit)(const cell_t *) = narrow ? visit_narrow_plain : visit_plain;
    int64_t side = narrow ? NARROW_WORDS : WORDS;
    int64_t bytes = narrow ? sizeof(uint8_t) : sizeof(int16_t);
#ifdef X86
    if (narrow && bovw_likes_narrow_words())
        visit = visit_narrow_vnni;
    if (!narrow && __builtin_cpu_supports("avx2"))
        visit = visit_avx2;
#endif
    for (int64_t number = 0; number < cells; number++) {
        int64_t first = blocks[number] * side;
        cell_t cell = {
            .points = points, .words = (const char *)words + first * dimension * bytes,
            .norms = norms + first, .sums = sums + first, .visitors = visitors + bounds[number],
            .dimension = dimension, .visitor_count = bounds[number + 1] - bounds[number],
            .word_count = first_words[number + 1] - first_words[number],
            .first_word = first_words[number], .count = count, .factor = factor,
            .best = best, .found = found,
        };
        visit(&cell);
    }
}

/* On which side of each of some words a point lies along SIGNATURE_BITS directions, which are laid
 * out as [dimension / 2][SIGNATURE_BITS][2]. */
static void sign_plain(
    const int16_t *point, const uint8_t *words, const int16_t *directions, int64_t dimension,
    const int32_t *near, int64_t count, uint64_t *signatures)
{
    for (int64_t k = 0; k < count; k++) {
        const uint8_t *word = words + near[k] * dimension;
        int32_t sums[SIGNATURE_BITS] = {0};
        for (int64_t i = 0; i < dimension; i += 2) {
            int32_t one = point[i] - word[i], other = point[i + 1] - word[i + 1];
            for (int64_t j = 0; j < SIGNATURE_BITS; j++)
                sums[j] += one * directions[i * SIGNATURE_BITS + 2 * j]
                           + other * directions[i * SIGNATURE_BITS + 2 * j + 1];
        }
        signatures[k] = 0;
        for (int64_t j = 0; j < SIGNATURE_BITS; j++)
            signatures[k] |= (uint64_t)(sums[j] > 0) << j;
    }
}

#ifdef X86
__attribute__((target("avx2"))) static void sign_avx2(
    const int16_t *point, const uint8_t *words, const int16_t *directions, int64_t dimension,
    const int32_t *near, int64_t count, uint64_t *signatures)
{
    for (int64_t k = 0; k < count; k++) {
        const uint8_t *word = words + near[k] * dimension;
        __m256i sums[SIGNATURE_BITS / WORDS];
        for (int64_t j = 0; j < SIGNATURE_BITS / WORDS; j++)
            sums[j] = _mm256_setzero_si256();
        for (int64_t i = 0; i < dimension; i += 2) {
            uint16_t one = (uint16_t)(point[i] - word[i]);
            uint16_t other = (uint16_t)(point[i + 1] - word[i + 1]);
            __m256i two = _mm256_set1_epi32((int32_t)(one | (uint32_t)other << 16));
            const int16_t *block = directions + i * SIGNATURE_BITS;
            for (int64_t j = 0; j < SIGNATURE_BITS / WORDS; j++) {
                __m256i pairs = _mm256_loadu_si256((const __m256i *)(block + 2 * j * WORDS));
                sums[j] = _mm256_add_epi32(sums[j], _mm256_madd_epi16(two, pairs));
            }
        }
        signatures[k] = 0;
        for (int64_t j = 0; j < SIGNATURE_BITS / WORDS; j++) {
            __m256i above = _mm256_cmpgt_epi32(sums[j], _mm256_setzero_si256());
            uint64_t bits = (uint32_t)_mm256_movemask_ps(_mm256_castsi256_ps(above));
            signatures[k] |= bits << j * WORDS;
        }
    }
}
#endif

void bovw_sign(
    const int16_t *points, int64_t point_count, int64_t dimension, const uint8_t *words,
    const int16_t *directions, const int32_t *near, int64_t count, uint64_t *signatures)
{
    void (*sign)(const int16_t *, const uint8_t *, const int16_t *, int64_t, const int32_t *,
                 int64_t, uint64_t *) = sign_plain;
#ifdef X86
    if (__builtin_cpu_supports("avx2"))
        sign = sign_avx2;
#endif
    for (int64_t n = 0; n < point_count; n++)
        sign(points + n * dimension, words, directions, dimension, near + n * count, count,
             signatures + n * count);
}

/* Writes what there is room for, and returns how many there are. */
static inline __attribute__((always_inline)) int64_t close_postings(
    const uint64_t *postings, const int64_t *starts, const int64_t *lengths,
    const uint64_t *signatures, int64_t lists, int64_t limit, int64_t room, int64_t *number,
    int64_t *posting, uint8_t *distance)
{
    int64_t written = 0;
    for (int64_t list = 0; list < lists; list++) {
        const uint64_t own = signatures[list];
        if (list + AHEAD < lists)
            __builtin_prefetch(postings + starts[list + AHEAD]);
        for (int64_t at = starts[list]; at < starts[list] + lengths[list]; at++) {
            int apart = __builtin_popcountll(postings[at] ^ own);
            if (apart > limit)
                continue;
            if (written < room) {
                number[written] = list;
                posting[written] = at;
                distance[written] = (uint8_t)apart;
            }
            written++;
        }
    }
    return written;
}

#ifdef X86
__attribute__((target("popcnt"))) static int64_t close_postings_popcnt(
    const uint64_t *postings, const int64_t *starts, const int64_t *lengths,
    const uint64_t *signatures, int64_t lists, int64_t limit, int64_t room, int64_t *number,
    int64_t *posting, uint8_t *distance)
{
    return close_postings(postings, starts, lengths, signatures, lists, limit, room, number,
                          posting, distance);
}

__attribute__((target("avx512f,avx512vpopcntdq,popcnt"))) static int64_t close_postings_avx512(
    const uint64_t *postings, const int64_t *starts, const int64_t *lengths,
    const uint64_t *signatures, int64_t lists, int64_t limit, int64_t room, int64_t *number,
    int64_t *posting, uint8_t *distance)
{
    const __m512i most = _mm512_set1_epi64(limit);
    int64_t written = 0;
    for (int64_t list = 0; list < lists; list++) {
        const __m512i own = _mm512_set1_epi64((int64_t)signatures[list]);
        if (list + AHEAD < lists)
            __builtin_prefetch(postings + starts[list + AHEAD]);
        const int64_t end = starts[list] + lengths[list];
        for (int64_t at = starts[list]; at < end; at += 8) {
            __mmask8 there = end - at < 8 ? (__mmask8)((1 << (end - at)) - 1) : 0xff;
            __m512i eight = _mm512_maskz_loadu_epi64(there, postings + at);
            __m512i apart = _mm512_popcnt_epi64(_mm512_xor_si512(eight, own));
            uint32_t close = _mm512_mask_cmple_epi64_mask(there, apart, most);
            for (; close; close &= close - 1) {
                int64_t found = at + __builtin_ctz(close);
                if (written < room) {
                    number[written] = list;
                    posting[written] = found;
                    distance[written] =
                        (uint8_t)__builtin_popcountll(postings[found] ^ signatures[list]);
                }
                written++;
            }
        }
    }
    return written;
}
#endif

int64_t bovw_close_postings(
    const uint64_t *postings, const int64_t *starts, const int64_t *lengths,
    const uint64_t *signatures, int64_t lists, int64_t limit, int64_t room, int64_t *number,
    int64_t *posting, uint8_t *distance)
{
#ifdef X86
    if (__builtin_cpu_supports("avx512vpopcntdq"))
        return close_postings_avx512(postings, starts, lengths, signatures, lists, limit, room,
                                     number, posting, distance);
    if (__builtin_cpu_supports("popcnt"))
        return close_postings_popcnt(postings, starts, lengths, signatures, lists, limit, room,
                                     number, posting, distance);
#endif
    return close_postings(postings, starts, lengths, signatures, lists, limit, room, number,
                          posting, distance);
}

/* The weights of the matches of a candidate that agree with the similarity that one of them
 * implies, in single precision and without fused multiplication, as NumPy does it. */
static inline __attribute__((always_inline)) double support(
    const float *const *m, const double *weight, const float *tolerances, int64_t seed,
    int64_t first, int64_t last)
{
    const float *log_scale = m[0], *cosine = m[1], *sine = m[2], *real = m[3], *imaginary = m[4];
    const float *query_x = m[5], *query_y = m[6], *image_x = m[7], *image_y = m[8];
    const float own_scale = log_scale[seed], own_cosine = cosine[seed], own_sine = sine[seed];
    const float a = real[seed], b = imaginary[seed], allowed = m[9][seed];
    const float qx = query_x[seed], qy = query_y[seed], ix = image_x[seed], iy = image_y[seed];
    double sum = 0;
    uint8_t agrees[CHUNK];
    for (int64_t start = first; start < last; start += CHUNK) {
        int64_t size = last - start < CHUNK ? last - start : CHUNK;
        for (int64_t k = 0; k < size; k++) {
            const int64_t i = start + k;
            float apart = log_scale[i] - own_scale;
            float turned = cosine[i] * own_cosine + sine[i] * own_sine;
            float x = query_x[i] - qx, y = query_y[i] - qy;
            float away_x = image_x[i] - ix, away_y = image_y[i] - iy;
            float miss_x = (a * x - b * y) - away_x, miss_y = (a * y + b * x) - away_y;
            float reach = allowed + tolerances[2] * (away_x * away_x + away_y * away_y);
            agrees[k] = (apart < tolerances[0]) & (-apart < tolerances[0])
                        & (turned > tolerances[1]) & (miss_x * miss_x + miss_y * miss_y < reach);
        }
        for (int64_t k = 0; k < size; k++)
            if (agrees[k])
                sum += weight[start + k];
    }
    return sum;
}

#ifdef X86
__attribute__((target("avx2"))) static void supports_avx2(
    const float *const *matches, const double *weight, const float *tolerances,
    const int64_t *seeds, const int64_t *first, const int64_t *last, int64_t count, double *sums)
{
    for (int64_t n = 0; n < count; n++)
        sums[n] = support(matches, weight, tolerances, seeds[n], first[n], last[n]);
}
#endif

void bovw_supports(
    const float *const *matches, const double *weight, const float *tolerances,
    const int64_t *seeds, const int64_t *first, const int64_t *last, int64_t count, double *sums)
{
#ifdef X86
    if (__builtin_cpu_supports("avx2")) {
        supports_avx2(matches, weight, tolerances, seeds, first, last, count, sums);
        return;
    }
#endif
    for (int64_t n = 0; n < count; n++)
        sums[n] = support(matches, weight, tolerances, seeds[n], first[n], last[n]);
}

/* Ask for the pages of some runs of rows, ascending, if most of a sample are not there; without
 * lengths they are single rows. Returns
 * whether it did. */
int64_t bovw_read_ahead(
    const char *memory, int64_t row, const int64_t *starts, const int64_t *lengths, int64_t count)
{
    const uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    const int64_t step = count / SAMPLED + 1;
    int64_t looked_at = 0, missing = 0;
    for (int64_t n = 0; n < count; n += step) {
        unsigned char there = 1;
        uintptr_t first = ((uintptr_t)memory + (uintptr_t)(starts[n] * row)) / page * page;
        if (mincore((void *)first, page, (void *)&there) == 0) {
            looked_at++;
            missing += !(there & 1);
        }
    }
    if (missing * 2 < looked_at + 1)
        return 0;
    uintptr_t first = 0, end = 0;
    for (int64_t n = 0; n < count; n++) {
        const int64_t length = lengths ? lengths[n] : 1;
        uintptr_t start = (uintptr_t)memory + (uintptr_t)(starts[n] * row);
        uintptr_t stop = start + (uintptr_t)(length * row);
        if (length <= 0)
            continue;
        if (start < first || start > end + GAP) {
            if (end > first)
                madvise((void *)first, end - first, MADV_WILLNEED);
            first = start / page * page;
            end = stop;
        } else if (stop > end)
            end = stop;
    }
    if (end > first)
        madvise((void *)first, end - first, MADV_WILLNEED);
    return 1;
}
