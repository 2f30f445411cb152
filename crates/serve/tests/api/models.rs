//! `/v1/models`.

use crate::support::{Place, get};

#[tokio::test]
async fn a_model_is_taken_along_as_it_is() {
    let place = Place::new();
    let server = place.server();
    for name in ["pictures", "text"] {
        let answer = get(&server, &format!("/v1/models/{name}/file")).await;
        assert_eq!(answer.status, 200);
        assert!(answer.body == std::fs::read(place.model(name)).unwrap(), "{name} is another file");
        assert_eq!(answer.headers["content-length"], answer.body.len().to_string());
        let disposition = answer.headers["content-disposition"].to_str().unwrap();
        assert!(disposition.contains(&format!("\"{name}.safetensors\"")), "{disposition}");
    }
    get(&server, "/v1/models/none/file").await.problem(404);
}
