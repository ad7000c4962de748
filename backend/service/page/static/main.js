import { showConnection } from "./connection.js";
import { Playground } from "./playground.js";
import { watch } from "./status.js";

showConnection();
const playground = new Playground();
watch((state) => playground.setBounds(state));
