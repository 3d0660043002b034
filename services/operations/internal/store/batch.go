package store

import "sync"

// settleAtOnce bounds how many of a batch's open ends one call settles at a
// time: each needs a connection, and others need some too.
const settleAtOnce = 4

// settle does the rest for each of n asks of a batch: at once where its shared
// statement answered it, and a few at a time where something stood in its way.
func settle(n int, open func(int) bool, rest func(int)) {
	var working sync.WaitGroup
	free := make(chan struct{}, settleAtOnce)
	for i := range n {
		if !open(i) {
			rest(i)
			continue
		}
		free <- struct{}{}
		working.Go(func() {
			rest(i)
			<-free
		})
	}
	working.Wait()
}
