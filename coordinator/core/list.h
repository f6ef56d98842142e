/*
 * list.h: a doubly linked list through a member of its elements. A link that is in no list points
 * to nothing; taking it out twice does no harm.
 *
 * Thread rule: one thread.
 */
#ifndef DROVER_CORE_LIST_H
#define DROVER_CORE_LIST_H

#include "common/base.h"

struct list {
    struct list *next, *prev; /* of a head: first and last element */
};

static inline void list_init(struct list *head)
{
    head->next = head->prev = head;
}

static inline bool list_empty(const struct list *head)
{
    return head->next == head;
}

static inline bool list_linked(const struct list *link)
{
    return link->next != NULL;
}

static inline void list_add(struct list *head, struct list *link) /* at the end */
{
    assert(!link->next);
    link->next = head;
    link->prev = head->prev;
    head->prev->next = link;
    head->prev = link;
}

static inline void list_del(struct list *link)
{
    if (!link->next)
        return;
    link->prev->next = link->next;
    link->next->prev = link->prev;
    link->next = link->prev = NULL;
}

static inline void list_to_end(struct list *head, struct list *link)
{
    list_del(link);
    list_add(head, link);
}

#define LIST_FIRST(head, type, member)                                                             \
    (list_empty(head) ? NULL : CONTAINER_OF((head)->next, type, member))

/* Walks; the element may be taken out or freed in the body, but no other one. */
#define LIST_EACH(it, head, type, member)                                                          \
    for (type *it = CONTAINER_OF((head)->next, type, member),                                      \
              *it##_next_ = CONTAINER_OF(it->member.next, type, member);                           \
         &it->member != (head);                                                                    \
         it = it##_next_, it##_next_ = CONTAINER_OF(it->member.next, type, member))

#endif
