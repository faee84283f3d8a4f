// SPDX-License-Identifier: Apache-2.0

// robfig/cron v3: entries in one process, nothing is durable. A fire is handed over when its
// function runs.
package main

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/robfig/cron/v3"
)

type config struct {
	N, Idle, Edits int
	Cron, Out      string
}

// Rows go to one of several buffers, so that goroutines do not wait for one another.
type buffer struct {
	sync.Mutex
	bytes []byte
	_     [64]byte
}

var buffers [16]buffer

// schedule remembers what it answered: the n-th run of its job is for the n-th answer.
type schedule struct {
	cron.Schedule
	id    int
	mutex sync.Mutex
	next  []int64
	runs  atomic.Int64
}

func (s *schedule) Next(t time.Time) time.Time {
	next := s.Schedule.Next(t)
	s.mutex.Lock()
	s.next = append(s.next, next.UnixMilli())
	s.mutex.Unlock()
	return next
}

func (s *schedule) Run() {
	now := time.Now().UnixMicro()
	n := s.runs.Add(1) - 1
	s.mutex.Lock()
	nominal := s.next[n]
	s.mutex.Unlock()
	b := &buffers[s.id%len(buffers)]
	b.Lock()
	b.bytes = binary.LittleEndian.AppendUint32(b.bytes, uint32(s.id))
	b.bytes = binary.LittleEndian.AppendUint64(b.bytes, uint64(nominal))
	b.bytes = binary.LittleEndian.AppendUint64(b.bytes, uint64(now))
	b.Unlock()
}

func writeOut(out *os.File) {
	for {
		time.Sleep(100 * time.Millisecond)
		for i := range buffers {
			b := &buffers[i]
			b.Lock()
			bytes := b.bytes
			b.bytes = nil
			b.Unlock()
			if _, err := out.Write(bytes); err != nil {
				panic(err)
			}
		}
	}
}

func main() {
	var cfg config
	if err := json.Unmarshal([]byte(os.Args[1]), &cfg); err != nil {
		panic(err)
	}
	out, err := os.OpenFile(cfg.Out, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		panic(err)
	}
	parser := cron.NewParser(cron.Second | cron.Minute | cron.Hour | cron.Dom | cron.Month | cron.Dow)
	parse := func(text string) cron.Schedule {
		parsed, err := parser.Parse(text)
		if err != nil {
			panic(err)
		}
		return parsed
	}
	due, never, same := parse(cfg.Cron), parse("0 0 0 1 1 *"), parse("*/1 * * * * *")
	c := cron.New(cron.WithSeconds(), cron.WithLocation(time.UTC))
	entries := make([]cron.EntryID, cfg.N+cfg.Idle)
	add := func(id int, what cron.Schedule) {
		s := &schedule{Schedule: what, id: id}
		entries[id] = c.Schedule(s, s)
	}
	for i := range entries {
		if i < cfg.N {
			add(i, due)
		} else {
			add(i, never)
		}
	}
	c.Start()
	go writeOut(out)
	fmt.Println("ready")
	for edit := 0; ; {
		time.Sleep(20 * time.Millisecond)
		for i := 0; i < cfg.Edits/50; i++ {
			id := edit % cfg.N
			c.Remove(entries[id])
			if edit/cfg.N%2 == 0 {
				add(id, same)
			} else {
				add(id, due)
			}
			edit++
		}
	}
}
