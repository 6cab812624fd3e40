/* SPDX-License-Identifier: Apache-2.0
 *
 * post: see post.h.
 */
#include "post.h"

#include "base/clock.h"

#include <unistd.h>

void posts_init(struct posts *posts, int wake_fd)
{
    *posts = (struct posts){.wake_fd = wake_fd};
    posts->last = &posts->first;
    (void)pthread_mutex_init(&posts->lock, NULL);
}

void posts_fini(struct posts *posts)
{
    (void)pthread_mutex_destroy(&posts->lock);
}

static bool of_route(const struct post *post, const struct route *route)
{
    return post->strands == NULL && post->peer.route.bytes == route->bytes &&
           memcmp(post->peer.route.id, route->id, route->bytes) == 0;
}

/* One at a time of a link: its answers are told apart by nothing else. */
static bool is_under_way(const struct posts *posts, const struct post *post)
{
    const struct post *lists[] = {posts->first, posts->taken};
    for (size_t i = 0; post->strands == NULL && i < 2; i++)
        for (const struct post *other = lists[i]; other != NULL; other = other->next)
            if (of_route(other, &post->peer.route))
                return true;
    return false;
}

int posts_put(struct posts *posts, struct post *post)
{
    uint64_t one = 1;
    pthread_mutex_lock(&posts->lock);
    int rc = posts->closed                                        ? ERR_CANCELLED
             : posts->count >= POSTS || is_under_way(posts, post) ? ERR_BUSY
                                                                  : 0;
    if (rc == 0) {
        post->next = NULL;
        post->until_us = clock_monotonic_us() + POST_WAIT_US;
        post->expected = post->answered = 0;
        post->complete = false;
        *posts->last = post;
        posts->last = &post->next;
        posts->count++;
    }
    pthread_mutex_unlock(&posts->lock);
    if (rc == 0) {
        ssize_t n = write(posts->wake_fd, &one, sizeof one);
        (void)n; /* full means that it is awake */
    }
    return rc;
}

/* ---- the receiving thread -------------------------------------------------------------------- */

static void give_frames(struct post *post, struct intake *intake)
{
    struct slice rest = post->frames, frame;
    while (parcel_next(&rest, &frame)) {
        if (intake_full(intake))
            intake_commit(intake);
        post->expected += frame.n == 0 || (uint8_t)frame.p[0] != FRAME_BYE;
        intake_frame(intake, &post->peer, frame);
    }
}

static void give_strands(struct post *post, struct intake *intake)
{
    for (size_t i = 0; i < post->strand_count; i++) {
        if (intake_full(intake))
            intake_commit(intake);
        intake_strand(intake, &post->peer.address, &post->strands[i]);
    }
}

static struct post *take_next(struct posts *posts)
{
    pthread_mutex_lock(&posts->lock);
    struct post *post = posts->first;
    if (post != NULL) {
        posts->first = post->next;
        if (posts->first == NULL)
            posts->last = &posts->first;
        post->next = posts->taken;
        posts->taken = post;
    }
    pthread_mutex_unlock(&posts->lock);
    return post;
}

bool posts_take(struct posts *posts, struct intake *intake)
{
    struct post *post;
    bool any = false;
    for (int i = 0; i < INTAKE_ROUND && (post = take_next(posts)) != NULL; i++) {
        any = true;
        if (post->strands == NULL)
            give_frames(post, intake);
        else
            give_strands(post, intake);
    }
    return any;
}

/* Only this thread changes `taken`: it may read it without the lock. */
void posts_answer(struct posts *posts, const struct route *route, struct slice frame)
{
    for (struct post *post = posts->taken; post != NULL; post = post->next)
        if (of_route(post, route)) {
            if (parcel_add_bytes(&post->reply, frame) == 0)
                post->answered++;
            return;
        }
}

static bool has_all(const struct post *post)
{
    for (size_t i = 0; i < post->strand_count; i++)
        if (post->strands[i].verdict == STRAND_WAITING)
            return false;
    return post->strands != NULL || post->answered >= post->expected;
}

static void end(struct posts *posts, struct post **at, bool complete)
{
    struct post *post = *at;
    pthread_mutex_lock(&posts->lock);
    *at = post->next;
    posts->count--;
    pthread_mutex_unlock(&posts->lock);
    post->complete = complete;
    post->done(post->arg, post);
}

static void settle(struct posts *posts, struct intake *intake, bool all)
{
    struct post **at = &posts->taken;
    bool nothing_waits = !intake_waits(intake);
    int64_t now_us = clock_monotonic_us();
    while (*at != NULL) {
        struct post *post = *at;
        bool complete = has_all(post) || (post->strands == NULL && nothing_waits);
        if (!complete && !all && now_us < post->until_us) {
            at = &post->next;
            continue;
        }
        for (size_t i = 0; i < post->strand_count; i++)
            intake_forget_strand(intake, &post->strands[i]);
        end(posts, at, complete);
    }
}

void posts_settle(struct posts *posts, struct intake *intake)
{
    if (posts->taken != NULL)
        settle(posts, intake, false);
}

void posts_close(struct posts *posts, struct intake *intake)
{
    pthread_mutex_lock(&posts->lock);
    posts->closed = true;
    pthread_mutex_unlock(&posts->lock);
    while (take_next(posts) != NULL)
        ;
    settle(posts, intake, true);
}
