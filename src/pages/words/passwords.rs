//! Passwords, and the accounts that they belong to: pairing, the default application.

use super::words;

words! {
    // A new one.
    new_password
        en "New password"
        es "Contraseña nueva"
    new_password_hint(shortest: impl std::fmt::Display)
        en "At least {shortest} characters. A few words in a row are good; no special characters are needed."
        es "Al menos {shortest} caracteres. Unas cuantas palabras seguidas sirven bien; no hacen falta caracteres especiales."
    confirm_new_password
        en "Confirm new password"
        es "Confirmar contraseña nueva"
    change_password
        en "Change password"
        es "Cambiar contraseña"
    type_new_password_twice
        en "Type a new password, twice."
        es "Escriba una contraseña nueva, dos veces."
    passwords_differ
        en "The two passwords are not the same."
        es "Las dos contraseñas no son iguales."
    password_too_short(shortest: impl std::fmt::Display)
        en "That password is too short: use at least {shortest} characters."
        es "La contraseña es demasiado corta: use al menos {shortest} caracteres."
    password_too_long(longest: impl std::fmt::Display)
        en "That password is too long: use at most {longest} bytes."
        es "La contraseña es demasiado larga: use como máximo {longest} bytes."
    password_is_common
        en "That password is one that many people use and that is tried first. Choose another."
        es "Muchas personas usan esa contraseña y es de las primeras que se prueban. Elija otra."
    password_is_little_more_than(word: &str)
        en "That password is little more than \"{word}\", which is easy to guess here. Choose another."
        es "Esa contraseña es poco más que “{word}”, que aquí es fácil de adivinar. Elija otra."
    password_cannot_be_typed
        en "That password has characters that can't be typed everywhere. Choose another."
        es "Esa contraseña tiene caracteres que no se pueden escribir en todas partes. Elija otra."
    password_you_have
        en "That is the password you have now. Choose another."
        es "Esa es la contraseña que tiene ahora. Elija otra."
    one_of_your_last_passwords(count: impl std::fmt::Display)
        en "That is one of your last {count} passwords. Choose another."
        es "Esa es una de sus últimas {count} contraseñas. Elija otra."

    // Expired, or soon to be.
    password_has_expired
        en "Your password has expired"
        es "Su contraseña ha caducado"
    password_has_expired_lead(product: &str)
        en "Your {product} password is too old to be used again. Choose a new one; then you go on to where you wanted to go."
        es "Su contraseña de {product} es demasiado antigua para seguir usándola. Elija una nueva; después continuará adonde quería ir."
    password_has_expired_there(product: &str)
        en "Your {product} password has expired. Change it where your {product} passwords are kept, and come back with the new one."
        es "Su contraseña de {product} ha caducado. Cámbiela donde se guardan sus contraseñas de {product} y vuelva con la nueva."
    password_expires_soon
        en "Your password expires soon"
        es "Su contraseña caduca pronto"
    password_expires_soon_lead(product: &str, left: &str)
        en "Your {product} password expires in {left}. You can change it now, or go on and change it later in My Profile."
        es "Su contraseña de {product} caduca en {left}. Puede cambiarla ahora, o continuar y cambiarla más tarde en Mi perfil."
    change_it_now
        en "Change it now"
        es "Cambiarla ahora"
    expires_in(left: &str)
        en "Expires in {left}."
        es "Caduca en {left}."
    has_expired
        en "Has expired."
        es "Ha caducado."

    // Forgotten.
    forgot_lead
        en "Type your username. A link to set a new password is sent to your address for mail."
        es "Escriba su usuario. Se enviará a su dirección de correo un enlace para establecer una contraseña nueva."
    type_your_username
        en "Type your username."
        es "Escriba su usuario."
    send_the_link
        en "Send the link"
        es "Enviar el enlace"
    ask_user_manager_for_password
        en "Ask your user manager: they can set a new password for you."
        es "Pida ayuda a su administrador de usuarios: puede establecerle una contraseña nueva."
    ask_who_looks_after(product: &str)
        en "Ask whoever looks after {product} for you."
        es "Pregunte a quien se encarga de {product} en su clínica."
    look_into_your_mail
        en "Look into your mail"
        es "Revise su correo"
    link_was_sent
        en "If there is an account of this name with an address for mail, a link was sent to it. It works once, for 60 minutes."
        es "Si hay una cuenta con este nombre y con una dirección de correo, se envió un enlace a esa dirección. Funciona una sola vez, durante 60 minutos."
    no_mail_ask_user_manager
        en "No mail? Ask your user manager: they can help you."
        es "¿No le llega el correo? Pregunte a su administrador de usuarios: puede ayudarle."
    set_a_new_password
        en "Set a new password"
        es "Establecer una contraseña nueva"
    set_a_new_password_lead(product: &str, login: &str)
        en "For your {product} account {login}. You will be signed out everywhere; then log in with it."
        es "Para su cuenta {login} de {product}. Su sesión se cerrará en todas partes; después inicie sesión con ella."

    // In My Profile.
    passwords
        en "Passwords"
        es "Contraseñas"
    change_your_password_of(product: &str)
        en "Change your {product} password"
        es "Cambiar su contraseña de {product}"
    change_your_password_lead(product: &str, login: &str)
        en "For your {product} account {login}. You will be signed out everywhere but here."
        es "Para su cuenta {login} de {product}. Su sesión se cerrará en todas partes menos aquí."
    current_password
        en "Current password"
        es "Contraseña actual"
    current_password_wrong
        en "The current password is not right."
        es "La contraseña actual no es correcta."
    password_changed_elsewhere
        en "The password was changed elsewhere at the same moment."
        es "La contraseña se cambió en otro lugar en el mismo momento."
    password_changed_here
        en "Your password is changed. You are signed out everywhere but here."
        es "Su contraseña ha cambiado. Su sesión se cerró en todas partes menos aquí."
    account_login(login: &str)
        en "Account {login}."
        es "Cuenta {login}."
    password_kept_elsewhere(product: &str)
        en "Its password is not kept here: it is changed where the {product} passwords are."
        es "Su contraseña no se guarda aquí: se cambia donde están las contraseñas de {product}."

    // Pairing.
    connect(first: &str, second: &str)
        en "Connect {first} and {second}"
        es "Conectar {first} y {second}"
    connect_product(product: &str)
        en "Connect {product}"
        es "Conectar {product}"
    connect_step_one(product: &str)
        en "Step 1 of 2: enter your {product} credentials."
        es "Paso 1 de 2: escriba sus credenciales de {product}."
    connect_step_two(product: &str)
        en "Step 2 of 2: enter your {product} credentials."
        es "Paso 2 de 2: escriba sus credenciales de {product}."
    connect_renew(product: &str, login: &str)
        en "Your {product} password has expired. Choose a new one for your {product} account {login}; then the accounts are paired."
        es "Su contraseña de {product} ha caducado. Elija una nueva para su cuenta {login} de {product}; después se vincularán las cuentas."
    pair_accounts
        en "Pair accounts"
        es "Vincular cuentas"
    pair_your_own
        en "Pair the account that you are signed in with; for another, sign out first."
        es "Vincule la cuenta con la que inició sesión; para otra, cierre sesión primero."
    accounts_are_paired(first: &str, second: &str)
        en "Success! Your {first} and {second} accounts are paired."
        es "¡Listo! Sus cuentas de {first} y {second} están vinculadas."
    needs_no_pairing(product: &str, login: &str)
        en "{product} needs no pairing: you are {login} there."
        es "{product} no necesita vincularse: allí usted es {login}."
    account_is_linked(product: &str, login: &str)
        en "Your {product} account is linked: you are {login} there."
        es "Su cuenta de {product} está vinculada: allí usted es {login}."
    pairing_holds_at_once
        en "It holds at once: there is no need to sign out. In My Profile you can choose which application opens when you sign in."
        es "Tiene efecto de inmediato: no hace falta cerrar sesión. En Mi perfil puede elegir qué aplicación se abre al iniciar sesión."
    open_product(product: &str)
        en "Open {product}"
        es "Abrir {product}"

    // The password that the gateway types.
    your_password_of(product: &str)
        en "Your {product} password"
        es "Su contraseña de {product}"
    product_password_refused(product: &str)
        en "{product} does not take the password that is kept here for you. If you changed it there, type the new one."
        es "{product} no acepta la contraseña que se guarda aquí para usted. Si la cambió allí, escriba la nueva."
    product_password_needed(product: &str)
        en "To open {product} for you, its password is needed once."
        es "Para abrirle {product} se necesita su contraseña una vez."
    product_password_kept(product: &str)
        en "It is kept encrypted, used to sign you in to {product} and for nothing else, and forgotten when you reset Single Sign-On."
        es "Se guarda cifrada, se usa para iniciar su sesión en {product} y para nada más, y se olvida cuando usted restablece el inicio de sesión único."
    continue_to(product: &str)
        en "Continue to {product}"
        es "Continuar a {product}"
    type_linked_password
        en "Type the password of the account that is linked."
        es "Escriba la contraseña de la cuenta vinculada."
    product_does_not_take(product: &str)
        en "{product} does not take that password."
        es "{product} no acepta esa contraseña."

    // The default application.
    sso_options
        en "Single Sign-On (SSO) Options"
        es "Opciones de inicio de sesión único (SSO)"
    sso_hint
        en "The application that opens when you sign in."
        es "La aplicación que se abre cuando inicia sesión."
    save_user
        en "Save User"
        es "Guardar usuario"
    reset_sso_hint
        en "Takes away the links between your accounts, at once. You can pair them, or others, anew."
        es "Quita de inmediato los vínculos entre sus cuentas. Puede volver a vincular esas cuentas u otras."
    reset_sso
        en "Reset Single Sign-On"
        es "Restablecer el inicio de sesión único"
    default_is_saved
        en "Your default application is saved."
        es "Su aplicación predeterminada se guardó."
    sso_is_reset
        en "Single Sign-On is reset. Your accounts can be paired anew."
        es "El inicio de sesión único se restableció. Puede volver a vincular sus cuentas."
}
