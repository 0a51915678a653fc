// amqp091-go: one producer and one consumer, each with a connection of its own.
//
//	amqp091_go_load plain|confirms URL SECONDS
//
// plain: no confirms. confirms: at most 100 unconfirmed. Each message of 1 KiB is persistent and acknowledged
// by itself, prefetch 100. Prints one line of JSON. With Debian's golang-github-rabbitmq-amqp091-go-dev:
//
//	GO111MODULE=off GOPATH=/usr/share/gocode go build amqp091_go_load.go
package main

import (
	"context"
	"fmt"
	"log"
	"os"
	"strconv"
	"sync/atomic"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

const (
	queue          = "load.amqp091-go"
	unconfirmedMax = 100
)

func must[T any](value T, err error) T {
	check(err)
	return value
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

func channelOf(url string) (*amqp.Connection, *amqp.Channel) {
	connection := must(amqp.Dial(url))
	return connection, must(connection.Channel())
}

func main() {
	mode, url := os.Args[1], os.Args[2]
	seconds := must(strconv.ParseFloat(os.Args[3], 64))
	outgoing, publisher := channelOf(url)
	incoming, consumer := channelOf(url)
	must(publisher.QueueDelete(queue, false, false, false))
	must(publisher.QueueDeclare(queue, true, false, false, false, nil))
	check(consumer.Qos(100, 0, false))
	deliveries := must(consumer.Consume(queue, "", false, false, false, false, nil))
	var consumed atomic.Int64
	go func() {
		for delivery := range deliveries {
			if delivery.Ack(false) == nil {
				consumed.Add(1)
			}
		}
	}()

	room := make(chan struct{}, unconfirmedMax)
	if mode == "confirms" {
		check(publisher.Confirm(false))
		confirms := publisher.NotifyPublish(make(chan amqp.Confirmation, unconfirmedMax))
		go func() {
			for range confirms {
				<-room
			}
		}()
	}
	message := amqp.Publishing{DeliveryMode: amqp.Persistent, Body: make([]byte, 1024)}
	published, began := 0, time.Now()
	for time.Since(began).Seconds() < seconds {
		if mode == "confirms" {
			room <- struct{}{}
		}
		check(publisher.PublishWithContext(context.Background(), "", queue, false, false, message))
		published++
	}
	took, taken := time.Since(began).Seconds(), consumed.Load()
	check(incoming.Close())
	must(publisher.QueueDelete(queue, false, false, false))
	check(outgoing.Close())
	fmt.Printf("{\"published\": %d, \"consumed\": %d, \"seconds\": %f}\n", published, taken, took)
}
