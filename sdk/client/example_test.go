package client_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"

	"github.com/tributary-bus/tributary/sdk/client"
)

func ExampleResponse_Decode() {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, `{"accepted":1,"results":[{"id":"536365","status":"accepted","profile":"p","session":null,"valid":true,
			"response":{"thank-you":{"thanks":"Ann","vip":true}}}],"response":{"thank-you":{"thanks":"Ann","vip":true}}}`)
	}))
	defer server.Close()
	c, err := client.New(server.URL, client.Key("shop-key"))
	if err != nil {
		panic(err)
	}

	reply, err := c.Send(context.Background(), []client.Event{{
		ID: "536365", Type: "order-completed",
		IDs:        map[string]string{"user": "17850"},
		Properties: map[string]any{"total": 139.12},
	}}, client.Wait(client.Flows))
	if err != nil {
		panic(err)
	}
	var answer struct {
		Thanks string `json:"thanks"`
		VIP    bool   `json:"vip"`
	}
	if err := reply.Results[0].Response.Decode("thank-you", &answer); err != nil {
		panic(err) // client.ErrNoResponse where the flow gave no answer
	}
	fmt.Printf("%+v\n", answer)
	// Output: {Thanks:Ann VIP:true}
}
