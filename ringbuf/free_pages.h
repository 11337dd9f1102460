// Which data pages of a ring hold nothing: what stands between the last published byte and the oldest
// one that is not given back. Their memory may go; it reads as zero when it comes again.
#ifndef VMBUS_RINGBUF_FREE_PAGES_H_
#define VMBUS_RINGBUF_FREE_PAGES_H_

#include "ringbuf/result.h"
#include "ringbuf/ring_error.h"
#include "ringbuf/ring_memory.h"

namespace vmbus::ring {

// Whole pages alone; of an empty ring all of them. A reader that gives room back meanwhile only adds to them.
// REQUIRES: as long as the answer is used nobody writes, and nothing is staged that is not published.
Result<SplitSpan, RingError> free_pages(const RingMemory& memory);

}  // namespace vmbus::ring

#endif  // VMBUS_RINGBUF_FREE_PAGES_H_
