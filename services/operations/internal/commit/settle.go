package commit

import "sync"

// settleAtOnce is how many goroutines Settle uses: each of them may need a
// connection of the pool, and other calls need some too.
const settleAtOnce = 4

// Settle calls finish(i) for each i below n and returns when all have returned. It
// calls those for which slow reports true concurrently, a few at a time, and the
// others in its own goroutine: their shared statement has brought the result already.
func Settle(n int, slow func(i int) bool, finish func(i int)) {
	var working sync.WaitGroup
	free := make(chan struct{}, settleAtOnce)
	for i := range n {
		if !slow(i) {
			finish(i)
			continue
		}
		free <- struct{}{}
		working.Go(func() {
			finish(i)
			<-free
		})
	}
	working.Wait()
}
